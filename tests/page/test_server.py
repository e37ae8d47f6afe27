import asyncio
from collections.abc import Iterator

import pytest

pytest.importorskip("nicegui", reason="the page needs NiceGUI (onelook[page])")

from starlette.requests import Request
from starlette.types import Message

from onelook.errors import PhotoError
from onelook.page.server import read_upload
from onelook.service.admission import Admission, Limits
from onelook.service.errors import ApiError


def upload(chunks: list[bytes], max_bytes: int, *, length: int | None) -> tuple[bytes, int]:
    """Upload a body in chunks; return the bytes read and the number of chunks received."""
    remaining: Iterator[bytes] = iter(chunks)
    received = 0

    async def receive() -> Message:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": next(remaining), "more_body": received < len(chunks)}

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    admission = Admission(Limits(max_upload=max_bytes))

    async def read() -> bytes:
        async with read_upload(request, "a.jpg", admission) as data:
            return data

    try:
        return asyncio.run(read()), received
    except PhotoError as error:
        assert str(error).startswith("a.jpg: more than ") and "--max-upload" in str(error)
        return b"refused", received


def test_a_photo_of_exactly_the_limit_is_read() -> None:
    assert upload([b"abc", b"de"], 5, length=5) == (b"abcde", 2)
    assert upload([b"abc", b"de"], 5, length=None) == (b"abcde", 2)


def test_an_upload_with_too_large_a_content_length_is_refused_unread() -> None:
    assert upload([b"abc", b"def"], 5, length=6) == (b"refused", 0)


@pytest.mark.parametrize("length", [None, 3])
def test_reading_stops_when_the_body_exceeds_the_limit(length: int | None) -> None:
    assert upload([b"abc", b"def", b"ghi", b"jkl"], 5, length=length) == (b"refused", 2)


def test_an_upload_has_a_time_and_all_uploads_a_sum() -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"abcd", "more_body": True}

    async def read(admission: Admission) -> None:
        async with read_upload(Request({"type": "http", "method": "POST", "headers": []}, receive), "a.jpg", admission):
            pass

    with pytest.raises(PhotoError, match=r"a\.jpg: the upload did not arrive in time"):
        asyncio.run(read(Admission(Limits(upload_seconds=0.05))))
    admission = Admission(Limits(max_upload=10))
    admission.add_bytes(75)
    with pytest.raises(ApiError, match="busy with many uploads"):
        asyncio.run(read(admission))
    admission.add_bytes(5)  # those of the refused upload are not counted any more
