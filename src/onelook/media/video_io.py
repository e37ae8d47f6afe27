"""Reading and writing videos, a frame at a time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from onelook.errors import VideoError

# What FFmpeg thinks of a damaged file concerns nobody: the one line that is raised says it.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

# Containers say how many frames they hold, some by guessing: so much less was read of one that is cut off.
_WHOLE = 0.9
_USUAL_RATE = 25.0
_MOST_RATE = 1000.0


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        number: 0, 1, …
        seconds: when it is shown, as the container says.
        image: RGB uint8 (H, W, 3), upright.
    """

    number: int
    seconds: float
    image: np.ndarray


class VideoReader:
    """A video, read from its beginning, as a context."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            VideoError: it is missing, or no video that can be read.
        """
        self._path = path
        if not path.is_file():
            raise VideoError(f"{path}: no such video")
        loudness = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(0)  # as for FFmpeg
        # An absolute path to FFmpeg alone: any other name might be taken for an address or for numbered pictures.
        self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
        cv2.utils.logging.setLogLevel(loudness)
        if not self._capture.isOpened():
            raise VideoError(f"{path}: not a video, or a damaged one; copy it again, or convert it to MP4")
        self.read = 0

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._capture.release()

    @property
    def rate(self) -> float:
        """Frames a second."""
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        return told if 0 < told <= _MOST_RATE else _USUAL_RATE

    @property
    def told(self) -> int:
        """How many frames the container says there are; 0 or less: it does not."""
        return int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """The frames of which every so many is taken; the others are decoded and passed over.

        Raises:
            VideoError: there is not one.
        """
        while self._capture.grab():
            number = self.read
            self.read += 1
            if number % every == 0:
                seconds = max(0.0, float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000)
                whole, image = self._capture.retrieve()
                if whole:
                    yield Frame(number, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        if self.read == 0:
            raise VideoError(f"{self._path}: no frame of it can be read; copy it again, or convert it to MP4")

    @property
    def shortcoming(self) -> str | None:
        """What is wrong with a video that was read to its end; None: nothing."""
        if self.read >= _WHOLE * self.told:
            return None
        return f"{self._path}: breaks off after {self.read} of {self.told} frames; copy it again from where it came"


class VideoWriter:
    """An MP4 that is written a frame at a time, without sound, as a context; same frames, same bytes."""

    def __init__(self, path: Path, rate: float, shape: tuple[int, ...]) -> None:
        """Begin it.

        Args:
            path: of the file, which is written over.
            rate: frames a second.
            shape: of its frames, (H, W, 3).

        Raises:
            VideoError: it cannot be written.
        """
        self._writer = cv2.VideoWriter(str(path.resolve()), cv2.VideoWriter.fourcc(*"mp4v"), rate, shape[1::-1])
        if not self._writer.isOpened():
            raise VideoError(f"{path}: cannot be written")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._writer.release()

    def write(self, image: np.ndarray) -> None:
        """Add an RGB uint8 frame of the shape that was told."""
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
