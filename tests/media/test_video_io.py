"""Reading and writing videos: frames, times, rotation, and what is no video."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.painted import HEIGHT, SIDE, WIDTH, paint
from onelook.errors import VideoError
from onelook.media.video_io import VideoReader

Video = Callable[..., Path]


def test_every_so_many_frames_with_their_times(video: Video) -> None:
    path = video("a.mp4", [paint((1, 10 * t, 20)) for t in range(11)], rate=8)
    with VideoReader(path) as reader:
        assert reader.rate == pytest.approx(8)
        frames = list(reader.frames(4))
        assert (reader.read, reader.shortcoming) == (11, None)
    assert [frame.number for frame in frames] == [0, 4, 8]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.5, 1])
    for frame in frames:
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        red = np.argwhere(frame.image[:, :, 0].astype(int) - frame.image[:, :, 2] > 100)[:, 1]
        assert red.min() == pytest.approx(10 * frame.number, abs=2)
        assert red.max() + 1 == pytest.approx(10 * frame.number + SIDE, abs=2)


def test_what_is_written_is_what_is_read_and_the_same_bytes_each_time(video: Video) -> None:
    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 9) for _ in range(5)]
    one, other = video("a.mp4", smooth), video("b.mp4", smooth)
    assert one.read_bytes() == other.read_bytes()
    with VideoReader(one) as reader:
        for frame, image in zip(reader.frames(), smooth, strict=True):
            assert np.abs(frame.image.astype(int) - image).mean() < 4


def test_a_phones_rotation_is_undone(video: Video) -> None:
    """The container says that the frames are to be turned: they come upright, as a photo does."""
    path = video("a.mp4", [paint((1, 0, 0))] * 3)
    data = path.read_bytes()
    # ISO 14496-12, 8.3.2: the matrix of tkhd begins 40 bytes behind its version, in 16.16 and 2.30 fixed point.
    start = data.index(b"tkhd") + 4 + 40
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    assert data[start : start + 36] == upright
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, HEIGHT << 16, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data[:start] + turned + data[start + 36 :])
    with VideoReader(path) as reader:
        image = next(reader.frames()).image
    assert image.shape == (WIDTH, HEIGHT, 3)
    assert image[5:35, HEIGHT - 35 : HEIGHT - 5, 0].min() > 150, "a quarter turn to the right: the left top goes right"
    assert image[5:35, 5:35].max() < 100


def test_what_is_no_video_is_told_in_one_line(tmp_path: Path, video: Video, capfd: pytest.CaptureFixture[str]) -> None:
    def problem(path: Path) -> str:
        with pytest.raises(VideoError) as caught, VideoReader(path) as reader:
            list(reader.frames())
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such video" in problem(tmp_path / "absent.mp4")
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    assert "not a video" in problem(tmp_path / "junk.mp4")
    (tmp_path / "empty.avi").write_bytes(b"")
    assert "not a video" in problem(tmp_path / "empty.avi")
    whole = video("a.mp4", [paint()] * 5).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[:200])
    assert "not a video" in problem(tmp_path / "cut.mp4")
    start, end = whole.index(b"mdat") + 4, whole.index(b"moov") - 4
    (tmp_path / "blank.mp4").write_bytes(whole[:start] + bytes(end - start) + whole[end:])
    assert "no frame" in problem(tmp_path / "blank.mp4")
    assert capfd.readouterr().err == "", "the libraries below say nothing of their own"


def test_a_video_that_breaks_off_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(40):
        writer.write(rng.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with VideoReader(path) as reader:
        assert 0 < len(list(reader.frames())) < 36
        assert reader.shortcoming is not None and "breaks off" in reader.shortcoming
