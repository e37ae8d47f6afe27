import asyncio
from collections.abc import Iterator

import pytest

pytest.importorskip("nicegui", reason="the page needs NiceGUI (onelook[page])")

from starlette.requests import Request
from starlette.types import Message

from onelook.errors import PhotoError
from onelook.page.server import read_upload


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
    try:
        return asyncio.run(read_upload(request, "a.jpg", max_bytes)), received
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
