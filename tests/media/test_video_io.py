from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.growing_capture import GrowingCapture
from helpers.painted import HEIGHT, SIDE, WIDTH, paint
from onelook.errors import VideoError
from onelook.media.video_io import VideoReader

VideoMaker = Callable[..., Path]


def test_frame_step_yields_numbers_and_times(make_video: VideoMaker) -> None:
    path = make_video("a.mp4", [paint((1, 10 * t, 20)) for t in range(11)], fps=8)
    with VideoReader(path) as reader:
        assert reader.fps == pytest.approx(8)
        frames = list(reader.frames(4))
        assert (reader.frames_read, reader.truncation_error) == (11, None)
    assert [frame.number for frame in frames] == [0, 4, 8]
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.5, 1])
    for frame in frames:
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        red = np.argwhere(frame.image[:, :, 0].astype(int) - frame.image[:, :, 2] > 100)[:, 1]
        assert red.min() == pytest.approx(10 * frame.number, abs=2)
        assert red.max() + 1 == pytest.approx(10 * frame.number + SIDE, abs=2)


def test_written_frames_are_read_back_and_writing_is_deterministic(make_video: VideoMaker) -> None:
    rng = np.random.default_rng(0)
    images = [cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 9) for _ in range(5)]
    first, second = make_video("a.mp4", images), make_video("b.mp4", images)
    assert first.read_bytes() == second.read_bytes()
    with VideoReader(first) as reader:
        for frame, image in zip(reader.frames(), images, strict=True):
            assert np.abs(frame.image.astype(int) - image).mean() < 4


def test_container_rotation_is_applied(make_video: VideoMaker) -> None:
    path = make_video("a.mp4", [paint((1, 0, 0))] * 3)
    data = path.read_bytes()
    # ISO 14496-12, 8.3.2: the tkhd matrix starts 40 bytes after the version, in 16.16 and 2.30 fixed point.
    start = data.index(b"tkhd") + 4 + 40
    upright = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    assert data[start : start + 36] == upright
    rotated = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, HEIGHT << 16, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data[:start] + rotated + data[start + 36 :])
    with VideoReader(path) as reader:
        image = next(reader.frames()).image
    assert image.shape == (WIDTH, HEIGHT, 3)
    assert image[5:35, HEIGHT - 35 : HEIGHT - 5, 0].min() > 150, "a clockwise quarter turn"
    assert image[5:35, 5:35].max() < 100


def test_unreadable_video_raises_a_one_line_error(
    tmp_path: Path, make_video: VideoMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    def error_of(path: Path) -> str:
        with pytest.raises(VideoError) as caught, VideoReader(path) as reader:
            list(reader.frames())
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such video" in error_of(tmp_path / "absent.mp4")
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 100)
    assert "not a video" in error_of(tmp_path / "junk.mp4")
    (tmp_path / "empty.avi").write_bytes(b"")
    assert "not a video" in error_of(tmp_path / "empty.avi")
    data = make_video("a.mp4", [paint()] * 5).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:200])
    assert "not a video" in error_of(tmp_path / "cut.mp4")
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    (tmp_path / "blank.mp4").write_bytes(data[:start] + bytes(end - start) + data[end:])
    assert "no frame" in error_of(tmp_path / "blank.mp4")
    assert capfd.readouterr().err == "", "OpenCV and FFmpeg are silent"


def test_truncated_video_has_a_truncation_error(tmp_path: Path) -> None:
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
        assert reader.truncation_error is not None and "breaks off" in reader.truncation_error


def test_a_matroska_file_is_truncated_by_its_length_not_by_a_guessed_number_of_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(40):
        writer.write(rng.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    data = path.read_bytes()
    for size, expected in ((len(data), None), (len(data) // 2, f"after {len(data) // 2} of {len(data)} bytes")):
        path.write_bytes(data[:size])
        with VideoReader(path) as reader:
            assert sum(1 for _ in reader.frames()) > 10
            error = reader.truncation_error
        assert error is None if expected is None else error is not None and expected in error


def test_a_frame_that_has_become_too_large_is_refused(make_video: VideoMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("a.mp4", [paint()])
    monkeypatch.setattr("onelook.media.video_io.MAX_PIXELS", 100)
    monkeypatch.setattr("onelook.media.video_io.open_capture", lambda *_: GrowingCapture([(10, 10), (10, 11)]))
    with VideoReader(path) as reader:
        frames = reader.frames()
        assert next(frames).image.shape == (10, 10, 3)
        with pytest.raises(VideoError, match=r"^\S+a\.mp4: frames of more than 64 megapixels; scale it down$"):
            next(frames)


def test_frames_of_a_file_keep_the_size_that_was_checked_at_the_opening(tmp_path: Path) -> None:
    content = b""
    for size in ((64, 48), (640, 480)):  # MPEG files can be joined byte by byte
        path = tmp_path / f"{size[0]}.mpg"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"PIM1"), 25, size)
        for _ in range(5):
            writer.write(np.zeros((*size[::-1], 3), np.uint8))
        writer.release()
        content += path.read_bytes()
    (tmp_path / "joined.mpg").write_bytes(content)
    with VideoReader(tmp_path / "joined.mpg") as reader:
        shapes = [frame.image.shape for frame in reader.frames()]
    assert len(shapes) > 6 and set(shapes) == {(48, 64, 3)}
