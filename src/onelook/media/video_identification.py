"""Identification of the faces in a video file, and the records of its frames and tracks.

The identity of a track is only available when the track has ended. Until then the detected faces are stored in a
temporary file beside the results, so that memory holds only the open tracks and one record per ended track.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from onelook.errors import VideoError
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import UNKNOWN_FACE
from onelook.media.discovery import MediaFile
from onelook.media.journal import Record
from onelook.media.photo_identification import picture_path
from onelook.media.track_identification import TrackIdentifier, batch_frames
from onelook.media.tracker import Track
from onelook.media.video_drawing import draw_video
from onelook.media.video_io import VideoReader

AddEmbedding = Callable[[np.ndarray], int]
"""Function that stores an embedding (d,) and returns its row index."""
FrameCallback = Callable[[int, int], None]
"""Function called with the number of frames read and the container's frame count."""


def identify_video(
    gallery: Gallery,
    file: MediaFile,
    every: int,
    frames_file: Path,
    add_embedding: AddEmbedding,
    picture_folder: Path | None,
    on_frames: FrameCallback,
) -> Iterator[Record]:
    """Identify the faces of a video and yield its journal records.

    Yielded are a record per frame with faces, a record per track, and a last record of the video.

    Args:
        gallery: gallery to search.
        file: the video.
        every: frame step.
        frames_file: temporary file for the faces of the frames; overwritten.
        add_embedding: called with the template of each track without a name.
        picture_folder: folder for copies of the videos with the faces drawn in; None to draw none.
        on_frames: called after each batch of frames.
    """
    last: Record = {"what": "video", "source": str(file.path), "bytes": file.size_bytes, "mtime_ns": file.mtime_ns}
    last |= {"frames": 0, "tracks": 0, "picture": None, "error": file.error, "more": False}
    try:
        if file.error is not None:
            raise VideoError(file.error)
        with VideoReader(file.path) as reader:
            tracks = _track_faces(gallery, reader, every, frames_file, add_embedding, on_frames)
            last |= {"frames": reader.frames_read, "tracks": len(tracks), "error": reader.truncation_error}
    except VideoError as error:
        yield last | {"error": str(error)}
        return
    common = {"source": str(file.path), "more": True}
    yield from (
        {"what": "frame", **common, **record} for record in _read_frames(frames_file, tracks) if record["faces"]
    )
    yield from ({"what": "track", **common, **tracks[track_id]} for track_id in sorted(tracks))
    if not tracks and last["error"] is None:
        last["error"] = f"{file.path}: no face found"
    if picture_folder is not None:
        path = picture_path(picture_folder, file, ".mp4")
        draw_video(path, file.path, _read_frames(frames_file, tracks))
        last["picture"] = path.relative_to(picture_folder.parent).as_posix()
    yield last


def _track_faces(
    gallery: Gallery,
    reader: VideoReader,
    every: int,
    frames_file: Path,
    add_embedding: AddEmbedding,
    on_frames: FrameCallback,
) -> dict[int, Record]:
    """Track the faces of a video, store them in `frames_file`, and return the track records by id."""
    identifier = TrackIdentifier(gallery)
    tracks: dict[int, Record] = {}

    def store(ended: Iterable[Track]) -> None:
        for track in ended:
            record = identifier.identify(track)
            row = add_embedding(track.template) if record["name"] is None else None
            tracks[track.track_id] = record | {"row": row}

    with frames_file.open("w", encoding="ascii") as stream:
        for frames in batch_frames(reader.frames(every), gallery.batch_size):
            tracked = identifier.update(frames)
            on_frames(reader.frames_read, reader.frame_count)
            for frame_record, ended in tracked:
                store(ended)
                stream.write(json.dumps(frame_record, allow_nan=False) + "\n")
        store(identifier.finish())
    return tracks


def _read_frames(frames_file: Path, tracks: dict[int, Record]) -> Iterator[Record]:
    """Yield the stored frame records, each face with the identification of its track."""
    keys = list(UNKNOWN_FACE.to_dict())
    with frames_file.open(encoding="ascii") as stream:
        for line in stream:
            record = json.loads(line)
            for face in record["faces"]:
                face |= {key: tracks[face["track"]][key] for key in keys}
            yield record
