"""Video files read and written frame by frame with OpenCV and FFmpeg."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from onelook.data.image_io import MAX_PIXELS
from onelook.errors import VideoError
from onelook.files import create_private_file
from onelook.media.matroska import expected_length, is_matroska
from onelook.media.video_container import video_problem

# Some containers only estimate their frame count; below this fraction of it a video counts as truncated.
_MIN_READ_FRACTION = 0.9
_DEFAULT_FPS = 25.0
_MAX_FPS = 1000.0
TOO_LARGE = f"frames of more than {MAX_PIXELS // 2**20} megapixels; scale it down"
"""Error of a video or stream that `has_usable_size` or `is_usable_image` refuses."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        number: frame number, from 0.
        seconds: presentation time.
        image: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    seconds: float
    image: np.ndarray


class VideoReader:
    """Sequential reader of a video, as a context manager.

    Attributes:
        frames_read: number of frames decoded so far, skipped ones included.
    """

    def __init__(self, path: Path) -> None:
        """Open a video.

        Raises:
            VideoError: the file is missing, not a readable video, or its frames are too large.
        """
        self._path = path
        if not path.is_file():
            raise VideoError(f"{path}: no such video")
        try:
            problem = video_problem(path)
        except OSError as error:
            raise VideoError(f"{path}: cannot be read ({error.strerror})") from error
        if problem is not None:
            raise VideoError(f"{path}: {problem}")
        # Absolute path and FFmpeg only: other names and backends may be taken for URLs or numbered images.
        self._capture = open_capture(str(path.resolve()), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise VideoError(f"{path}: not a video, or a damaged one; copy it again, or convert it to MP4")
        if not has_usable_size(self._capture):
            self._capture.release()
            raise VideoError(f"{path}: {TOO_LARGE}")
        self.frames_read = 0

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._capture.release()

    @property
    def fps(self) -> float:
        """Return the frames per second, or a default if the container states none that is plausible."""
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        return fps if 0 < fps <= _MAX_FPS else _DEFAULT_FPS

    @property
    def frame_count(self) -> int:
        """Return the container's frame count; 0 or less if it states none."""
        return int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    @property
    def truncation_error(self) -> str | None:
        """Return an error if a video that was read to its end is truncated, or None."""
        hint = "copy it again from where it came"
        if is_matroska(self._path):
            size, expected = self._path.stat().st_size, expected_length(self._path)
            if expected is None or size >= expected:
                return None
            return f"{self._path}: breaks off after {size} of {expected} bytes; {hint}"
        if not is_truncated(self.frames_read, self.frame_count):
            return None
        return f"{self._path}: breaks off after {self.frames_read} of {self.frame_count} frames; {hint}"

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """Yield every n-th frame, from the first one.

        Args:
            every: frame step n.

        Raises:
            VideoError: no frame can be decoded, or one is too large.
        """
        while self._capture.grab():
            number = self.frames_read
            self.frames_read += 1
            if number % every == 0:
                seconds = max(0.0, float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000)
                is_decoded, image = self._capture.retrieve()
                if is_decoded:
                    if not is_usable_image(image):
                        raise VideoError(f"{self._path}: {TOO_LARGE}")
                    yield Frame(number, seconds, to_frame_image(image))
        if self.frames_read == 0:
            raise VideoError(f"{self._path}: no frame of it can be read; copy it again, or convert it to MP4")


class VideoWriter:
    """Sequential writer of an MP4 file without sound, as a context manager; deterministic."""

    def __init__(self, path: Path, fps: float, shape: tuple[int, ...]) -> None:
        """Open the file for writing.

        Args:
            path: path of the file; overwritten.
            fps: frames per second.
            shape: (H, W, 3), shape of the frames.

        Raises:
            VideoError: the file cannot be written.
        """
        _silence_ffmpeg()
        with suppress(OSError):  # FFmpeg truncates the file and keeps its permissions
            create_private_file(path)
        self._writer = cv2.VideoWriter(str(path.resolve()), cv2.VideoWriter.fourcc(*"mp4v"), fps, shape[1::-1])
        if not self._writer.isOpened():
            raise VideoError(f"{path}: cannot be written")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._writer.release()

    def write(self, image: np.ndarray) -> None:
        """Append a frame (H, W, 3) uint8 RGB."""
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def open_capture(address: str | int, backend: int, parameters: Sequence[int] = ()) -> cv2.VideoCapture:
    """Open a video, stream or camera with OpenCV, without its and FFmpeg's messages.

    Args:
        address: path, URL, or number of a camera.
        backend: `cv2.CAP_FFMPEG` or `cv2.CAP_ANY`.
        parameters: pairs of a property and its value, in one sequence.
    """
    _silence_ffmpeg()
    log_level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        return cv2.VideoCapture(address, backend, list(parameters))
    finally:
        cv2.utils.logging.setLogLevel(log_level)


def has_usable_size(capture: cv2.VideoCapture) -> bool:
    """Return whether the frames of an open video have no more pixels than a photo may have, before one is read."""
    width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    return bool(width * height <= MAX_PIXELS)


def is_usable_image(image: np.ndarray) -> bool:
    """Return whether a decoded image (H, W, ...) has no more pixels than a photo may have.

    OpenCV scales the frames of files and network streams to the size of the opening. A camera may change its size, and
    a container may state none.
    """
    return image.shape[0] * image.shape[1] <= MAX_PIXELS


def to_frame_image(image: np.ndarray) -> np.ndarray:
    """Convert a decoded image (H, W, 3) uint8 BGR or (H, W) gray to RGB (H, W, 3)."""
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def is_truncated(frames_read: int, frame_count: int) -> bool:
    """Return whether a video ended early, given the frame count that its container states or estimates."""
    return frames_read < _MIN_READ_FRACTION * frame_count


def _silence_ffmpeg() -> None:
    """Turn off FFmpeg's log, which OpenCV configures when it first opens a video; errors are raised instead."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
