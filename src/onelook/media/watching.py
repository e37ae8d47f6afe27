"""Identification of the people in a running video: a camera, a network stream, or a file."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onelook.errors import VideoError
from onelook.gallery.gallery import Gallery
from onelook.media.journal import Record
from onelook.media.stream_reader import StreamReader, connect
from onelook.media.stream_source import StreamSource
from onelook.media.track_identification import TrackIdentifier, batch_frames
from onelook.media.tracker import Track
from onelook.media.video_io import TOO_LARGE, Frame, VideoReader
from onelook.names import escape_path

logger = logging.getLogger(__name__)


class Watcher:
    """Identifier of the tracks of one source.

    Attributes:
        frames_read: number of frames read so far.
        frames_dropped: number of frames of a live stream that were dropped because identification is slower.
    """

    def __init__(
        self,
        gallery: Gallery,
        source: Path | StreamSource,
        *,
        every: int = 1,
        reconnect_seconds: float = 60,
        appearances: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare the identification; `records` opens the source.

        Args:
            gallery: gallery to search.
            source: video file, camera or network stream.
            every: frame step.
            reconnect_seconds: time without a frame after which a broken stream is given up.
            appearances: yield a record as soon as the template of an open track has a name.
            should_stop: asked between two batches of frames; True ends the open tracks.
        """
        self._gallery = gallery
        self._source = source
        self._every = every
        self._reconnect_seconds = reconnect_seconds
        self._appearances = appearances
        self._should_stop = should_stop
        self._identifier = TrackIdentifier(gallery)
        self._named: set[int] = set()
        self.frames_read = 0
        self.frames_dropped = 0

    def records(self) -> Generator[Record, None, None]:
        """Yield a record per track when it ends, and per appearance on request.

        The records are those of the tracks of `identify_video`, without `row`. With a live stream, the times are
        seconds since the start, and `utc` is the time of day. A broken stream ends the open tracks.

        Raises:
            VideoError: the source cannot be opened or is truncated, its frames are too large, or a broken stream
                stays broken.
        """
        if isinstance(self._source, Path):
            yield from self._watch_file(self._source)
        else:
            yield from self._watch_stream(self._source)

    def _watch_file(self, path: Path) -> Iterator[Record]:
        with VideoReader(path) as reader:
            yield from self._watch_frames(reader.frames(self._every), self._gallery.batch_size, None)
            self.frames_read = reader.frames_read
            if reader.truncation_error is not None and not self._should_stop():
                raise VideoError(reader.truncation_error)

    def _watch_stream(self, source: StreamSource) -> Iterator[Record]:
        start = datetime.now(UTC)
        with closing(connect(source, self._every, self._reconnect_seconds, self._should_stop)) as connections:
            for reader in connections:
                try:
                    yield from self._watch_connection(reader, start)
                finally:
                    self.frames_read += reader.frames_read
                    self.frames_dropped += reader.frames_dropped
                if reader.is_too_large:
                    raise VideoError(f"{source}: {TOO_LARGE}")
                if self._should_stop() or (reader.is_recording and not reader.is_truncated):
                    return
                if reader.is_recording:
                    raise VideoError(f"{source}: breaks off after {reader.frames_read} frames; run it again")
                if self.frames_read == 0:
                    raise VideoError(_opening_error(source, reader.is_open))
                if reader.frames_read and self._reconnect_seconds:
                    logger.warning("%s: interrupted after %d frames; connecting again", source, self.frames_read)
        if not self._should_stop():
            raise VideoError(f"{source}: ended after {self.frames_read} frames; check it, and run this again")

    def _watch_connection(self, reader: StreamReader, start: datetime) -> Iterator[Record]:
        frames = reader.frames(self._should_stop)
        first = next(frames, None)
        if first is None:
            return

        def all_frames() -> Iterator[Frame]:
            yield first
            yield from frames

        yield from self._watch_frames(all_frames(), 1, None if reader.is_recording else start)

    def _watch_frames(self, frames: Iterable[Frame], batch_size: int, start: datetime | None) -> Iterator[Record]:
        """Track the faces of consecutive frames, and end their tracks with the frames.

        Args:
            frames: the frames.
            batch_size: number of frames that are processed at once.
            start: time of day of second 0; None: that of a recording is not known.
        """
        for batch in batch_frames(frames, batch_size):
            for tracked in self._identifier.update(batch):
                yield from (self._describe("track", track, start) for track in tracked.ended)
            if self._appearances:
                yield from self._new_appearances(start)
            if self._should_stop():
                break
        yield from (self._describe("track", track, start) for track in self._identifier.finish())

    def _new_appearances(self, start: datetime | None) -> Iterator[Record]:
        """Yield a record per open track whose template has a name for the first time."""
        open_tracks = self._identifier.open_tracks
        self._named &= {track.track_id for track in open_tracks}
        for track in open_tracks:
            if track.track_id not in self._named:
                record = self._describe("appearance", track, start)
                if record["name"] is not None:
                    self._named.add(track.track_id)
                    yield record

    def _describe(self, kind: str, track: Track, start: datetime | None) -> Record:
        name = escape_path(self._source) if isinstance(self._source, Path) else str(self._source)
        record = {"what": kind, "source": name, **self._identifier.identify(track)}
        if start is not None:
            for key in ("first", "last"):
                moment = start + timedelta(seconds=record[key]["time"])
                record[key] |= {"utc": moment.isoformat(timespec="milliseconds")}
        return record


def _opening_error(source: StreamSource, is_open: bool) -> str:
    if is_open:
        return f"{source}: no frame of it can be read; check the stream in a player"
    if isinstance(source.address, int):
        return f"{source}: cannot be opened; connect it, end other programs that use it, or name another number"
    return f"{source}: cannot be opened; check the address, the user name and password, and the network"
