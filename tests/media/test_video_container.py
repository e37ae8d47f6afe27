import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.painted import paint
from onelook.errors import VideoError
from onelook.media.video_io import VideoReader


def gif(side: int) -> bytes:
    """Return a picture of few bytes whose frames have many pixels."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return head + frame * 10 + b"\x3b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gif(20_000), "a picture, not a video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture, not a video"),
        (b"\0\0\0\x20ftypavif" + bytes(100), "a picture, not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n", "not a video"),
        (b"ffconcat version 1.0\nfile 'secret.mp4'\n", "not a video"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 50004 RTP/AVP 96\n", "not a video"),
        (b"[playlist]\nFile1=secret.mp4\n", "not a video"),
        (b"<?xml version='1.0'?><MPD/>", "not a video"),
    ],
)
def test_pictures_and_playlists_are_no_videos(
    tmp_path: Path, make_video: Callable[..., Path], content: bytes, message: str
) -> None:
    make_video("secret.mp4", [paint()])
    (tmp_path / "trick.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=message):
        VideoReader(tmp_path / "trick.mp4")


def test_frames_of_too_many_pixels_are_refused_before_they_are_read(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("a.mp4", [paint()] * 2)
    monkeypatch.setattr("onelook.media.video_io.MAX_PIXELS", int(np.prod(paint().shape[:2])) - 1)
    with pytest.raises(VideoError, match=r"frames of more than 64 megapixels; scale it down"):
        VideoReader(path)
