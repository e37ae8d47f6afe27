"""Frames of cameras and network streams, read in a thread so that the newest frame is at hand."""

import time
from collections.abc import Callable, Generator, Iterator
from threading import Condition, Thread

import cv2

from onelook.media.stream_source import StreamSource
from onelook.media.video_io import (
    Frame,
    has_usable_size,
    is_truncated,
    is_usable_image,
    open_capture,
    to_frame_image,
)

# A stream that delivers nothing for this long is broken.
_TIMEOUT_MS = 10_000
# Signals are handled between two waits of the main thread.
POLL_SECONDS = 0.1
_CLOSE_SECONDS = 1.0


class StreamReader:
    """Connection to a stream, as a context manager.

    A live stream is read as fast as it comes. A frame that is not processed before the next one arrives is dropped, so
    memory holds one frame and results never lag behind. A recording at an HTTP address has a length, and none of its
    frames is dropped.

    Attributes:
        is_open: the source was opened; False before and if it cannot be opened.
        is_too_large: the connection was ended because a frame has more pixels than a photo may have.
        is_recording: the source states its length.
        frames_read: number of frames read so far.
        frames_dropped: number of frames that were replaced by newer ones.
    """

    def __init__(self, source: StreamSource, every: int, clock: Callable[[], float], first_number: int = 0) -> None:
        """Connect in a thread.

        Args:
            source: camera or network stream.
            every: frame step; 1 reads every frame.
            clock: returns the time of a live frame in seconds.
            first_number: number of the first frame.
        """
        self._source = source
        self._every = every
        self._clock = clock
        self._first_number = first_number
        self._frame: Frame | None = None
        self._has_ended = self._is_closed = False
        self._frame_count = 0
        self.is_open = self.is_too_large = self.is_recording = False
        self.frames_read = self.frames_dropped = 0
        self._changed = Condition()
        # A daemon, because a blocked read of a dead connection must not keep the process.
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "StreamReader":
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)

    @property
    def is_truncated(self) -> bool:
        """Return whether a recording that was read to its end is truncated."""
        return self.is_recording and is_truncated(self.frames_read, self._frame_count)

    def frames(self, should_stop: Callable[[], bool]) -> Iterator[Frame]:
        """Yield the newest frames until the connection ends or `should_stop()` is true."""
        while not should_stop():
            with self._changed:
                self._changed.wait_for(lambda: self._frame is not None or self._has_ended, POLL_SECONDS)
                frame, self._frame = self._frame, None
                self._changed.notify_all()
            if frame is not None:
                yield frame
            elif self._has_ended:
                return

    def _read(self) -> None:
        """Read until the source ends or the reader is closed; runs in the thread."""
        capture = _open(self._source)
        try:
            self._frame_count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
            self.is_recording = self._frame_count > 0
            self.is_too_large = capture.isOpened() and not has_usable_size(capture)
            self.is_open = capture.isOpened() and not self.is_too_large
            while self.is_open and not self._is_closed and capture.grab():
                number = self.frames_read
                self.frames_read += 1
                if number % self._every:
                    continue
                seconds = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000 if self.is_recording else self._clock()
                is_decoded, image = capture.retrieve()
                if is_decoded and not is_usable_image(image):
                    self.is_too_large = True
                    return
                if is_decoded:
                    self._put(Frame(self._first_number + number, max(0.0, seconds), to_frame_image(image)))
        finally:
            capture.release()
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            if self.is_recording:
                self._changed.wait_for(lambda: self._frame is None or self._is_closed)
            elif self._frame is not None:
                self.frames_dropped += 1
            self._frame = frame
            self._changed.notify_all()


def connect(
    source: StreamSource, every: int, reconnect_seconds: float, should_stop: Callable[[], bool]
) -> Generator[StreamReader, None, None]:
    """Yield a connection to a stream, and another one whenever the last one ended.

    A source that cannot be opened at first is not tried again. Later it is tried again for `reconnect_seconds`, with
    pauses that double up to 8 seconds. The caller reads the frames of a connection before it takes the next one.

    Args:
        source: camera or network stream.
        every: see `StreamReader`.
        reconnect_seconds: time without a frame after which the stream is given up.
        should_stop: ends the iteration.
    """
    start = time.monotonic()
    first_number, pause, last_frame = 0, 0.5, start
    while not should_stop():
        with StreamReader(source, every, lambda: time.monotonic() - start, first_number) as reader:
            yield reader
        if reader.frames_read:
            first_number += reader.frames_read
            pause, last_frame = 0.5, time.monotonic()
        if reader.is_recording or first_number == 0:
            return
        resume = time.monotonic() + pause
        if resume > last_frame + reconnect_seconds:
            return
        pause = min(2 * pause, 8)
        while time.monotonic() < resume and not should_stop():
            time.sleep(POLL_SECONDS)


def _open(source: StreamSource) -> cv2.VideoCapture:
    if isinstance(source.address, int):
        return open_capture(source.address, cv2.CAP_ANY)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
    return open_capture(source.address, cv2.CAP_FFMPEG, timeouts)
