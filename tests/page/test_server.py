import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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


SERVE_WITH_A_SLOW_PATH = """
import asyncio
from functools import partial

from nicegui import app

from onelook.cli import main
from onelook.page import server

server.Limits = partial(server.Limits, request_seconds=0.3)


@app.get("/slow")
async def answer_late() -> None:
    await asyncio.sleep(100)


main()
"""


def test_a_request_of_the_page_has_a_time_and_a_web_socket_has_none(tmp_path: Path) -> None:
    websockets = pytest.importorskip("websockets.sync.client", reason="needs websockets, of uvicorn[standard]")
    # NiceGUI starts differently if it detects pytest in its environment.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-c", SERVE_WITH_A_SLOW_PATH, "serve", "--gallery", str(tmp_path / "g"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            address = re.match(r"onelook: http://(127\.0\.0\.1:\d+) shows ", server.stdout.readline())
            assert address is not None
            deadline = time.monotonic() + 30  # the line is printed just before the server listens
            while time.monotonic() < deadline:
                with suppress(OSError), urllib.request.urlopen(f"http://{address[1]}/", timeout=20):
                    break
                time.sleep(0.1)
            with websockets.connect(f"ws://{address[1]}/_nicegui_ws/socket.io/?EIO=4&transport=websocket") as socket:
                assert socket.recv(timeout=20)[0] == "0"  # Engine.IO: opened
                with pytest.raises(urllib.error.HTTPError, match="503") as late:
                    urllib.request.urlopen(f"http://{address[1]}/slow", timeout=20)
                assert json.load(late.value)["error"].startswith("this took too long")
                time.sleep(0.3)
                socket.send("40")
                assert socket.recv(timeout=20)[:2] in ("40", "44")  # Socket.IO: connected or refused, and still open
        finally:
            server.send_signal(signal.SIGINT)
