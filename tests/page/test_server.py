"""What the server takes: no more bytes than allowed, whatever the headers say; and where it can listen."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("nicegui", reason="the page needs NiceGUI (onelook[page])")

from starlette.requests import Request
from starlette.types import Message

from onelook.errors import OnelookError, PhotoError
from onelook.page.server import find_port, read_upload


def upload(chunks: list[bytes], most: int, *, length: int | None) -> tuple[bytes, int]:
    """What is read of a body that comes in chunks, and how many of them were taken."""
    coming: Iterator[bytes] = iter(chunks)
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": next(coming), "more_body": taken < len(chunks)}

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    try:
        return asyncio.run(read_upload(request, "a.jpg", most)), taken
    except PhotoError as error:
        assert str(error).startswith("a.jpg: more than ") and "--max-upload" in str(error)
        return b"refused", taken


def test_takes_a_photo_of_exactly_the_limit() -> None:
    assert upload([b"abc", b"de"], 5, length=5) == (b"abcde", 2)
    assert upload([b"abc", b"de"], 5, length=None) == (b"abcde", 2)


def test_a_declared_excess_is_refused_unread() -> None:
    assert upload([b"abc", b"def"], 5, length=6) == (b"refused", 0)


@pytest.mark.parametrize("length", [None, 3])
def test_an_excess_that_is_not_declared_is_cut_off(length: int | None) -> None:
    assert upload([b"abc", b"def", b"ghi", b"jkl"], 5, length=length) == (b"refused", 2)


def test_a_port_in_use_is_told_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(OnelookError, match=f"^127.0.0.1:{taken}: cannot be listened to .*--port"):
            find_port("127.0.0.1", taken)
    assert find_port("127.0.0.1", taken) == taken
    assert find_port("127.0.0.1", 0) > 1023


def test_without_nicegui_one_line_says_what_to_install(tmp_path: Path) -> None:
    absent = "import sys; sys.modules['nicegui'] = None; from onelook.cli import main; main()"
    command = [sys.executable, "-c", absent, "serve", "--gallery", str(tmp_path / "gallery")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "error: the page needs NiceGUI; install it with `pip install 'onelook[page]'`\n"
