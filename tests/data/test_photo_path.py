import os
import threading
from pathlib import Path

import numpy as np
import pytest

from onelook.data import photo_path
from onelook.data.image_io import encode_image, read_image
from onelook.errors import PhotoError


@pytest.fixture
def pipe() -> int:
    """Return the end to read of a pipe that a thread writes a photo to."""
    reading, writing = os.pipe()
    content = encode_image(np.full((200, 300, 3), 90, np.uint8), ".png")

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(content)

    threading.Thread(target=write, daemon=True).start()
    return reading


def test_a_photo_from_a_pipe_is_read(pipe: int) -> None:
    assert read_image(f"/dev/fd/{pipe}").shape == (200, 300, 3)
    os.close(pipe)


def test_a_pipe_without_end_is_refused(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_path, "MAX_PIPE_BYTES", 10)
    with pytest.raises(PhotoError, match="more than 0 MiB; save it to a file first"):
        read_image(f"/dev/fd/{pipe}")
    os.close(pipe)


def test_a_pipe_by_name_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    for path in (tmp_path / "a.jpg", Path("/dev/null")):
        with pytest.raises(PhotoError, match="not a file"):
            read_image(path)


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "HTTP://example.org", "s3://bucket/a.jpg"])
def test_an_address_is_called_an_address(address: str) -> None:
    for path in (address, Path(address)):
        with pytest.raises(PhotoError, match="an address, and onelook downloads nothing"):
            read_image(path)


def test_a_file_named_like_an_address_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:/a.png").write_bytes(encode_image(np.zeros((20, 20, 3), np.uint8), ".png"))
    monkeypatch.chdir(tmp_path)
    assert read_image("http:/a.png").shape == (20, 20, 3)
