import asyncio
from contextlib import ExitStack

import pytest

from onelook.data.image_io import MAX_PIXELS
from onelook.service.admission import Admission, Limits
from onelook.service.errors import ApiError


def test_requests_of_many_clients_fill_the_server() -> None:
    admission = Admission(Limits(max_requests=3))
    with ExitStack() as stack:
        for client in "abc":
            stack.enter_context(admission.request(client))
        with pytest.raises(ApiError, match=r"^busy with 3 requests") as refused, admission.request("d"):
            pass
        assert refused.value.status == 503
    assert admission.requests == 0


def test_uploads_are_limited_in_sum() -> None:
    admission = Admission(Limits(max_upload=10))
    admission.add_bytes(80)
    with pytest.raises(ApiError, match=r"^busy with many uploads"):
        admission.add_bytes(1)
    admission.add_bytes(-81)
    admission.add_bytes(80)


def test_photos_wait_until_the_decoded_ones_leave_room() -> None:
    admission = Admission(Limits())
    decoded, most = 0, 0

    async def decode(pixels: int) -> None:
        nonlocal decoded, most
        async with admission.decoded_photo() as set_pixels:
            set_pixels(pixels)
            decoded += pixels
            most = max(most, decoded)
            await asyncio.sleep(0.001)
            decoded -= pixels

    async def decode_all() -> None:
        await asyncio.gather(*(decode(MAX_PIXELS) for _ in range(9)))

    asyncio.run(decode_all())
    assert most == Limits().max_pixels
