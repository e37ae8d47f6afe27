"""Identification of the faces in a video: each track is identified once, by its template.

The identity of a track is only available when the track has ended. Until then the detected faces are stored in a
temporary file beside the results, so that memory holds only the open tracks and one record per ended track.
"""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from onelook.errors import VideoError
from onelook.face_quality import Quality
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import UNKNOWN_FACE, IdentifiedFace
from onelook.media.discovery import MediaFile
from onelook.media.journal import Record
from onelook.media.photo_identification import (
    MAX_BATCH_BYTES,
    picture_path,
)
from onelook.media.tracker import FaceObservation, Track, Tracker
from onelook.media.video_drawing import draw_video
from onelook.media.video_io import Frame, VideoReader

# Number of people at whose gallery threshold a face continues a track from any position in the frame.
_REID_PEOPLE_COUNT = 1000

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
    metadata = gallery.metadata
    tracker = Tracker(metadata.threshold_for(1), metadata.threshold_for(_REID_PEOPLE_COUNT))
    tracks: dict[int, Record] = {}
    with frames_file.open("w", encoding="ascii") as stream:
        for frames in _batch_frames(reader.frames(every), gallery.batch_size):
            batch_faces = gallery.identify_all([frame.image for frame in frames])
            on_frames(reader.frames_read, reader.frame_count)
            for frame, faces in zip(frames, batch_faces, strict=True):
                seconds = round(frame.seconds, 6)
                face_records, observations = _observe_faces(frame, faces)
                track_ids, ended = tracker.update(frame.number, seconds, observations)
                tracks |= {track.track_id: _identify_track(gallery, track, add_embedding) for track in ended}
                tracked = [
                    record | {"track": track_id} for record, track_id in zip(face_records, track_ids, strict=True)
                ]
                frame_record = {"frame": frame.number, "time": seconds, "faces": tracked}
                stream.write(json.dumps(frame_record, allow_nan=False) + "\n")
        tracks |= {track.track_id: _identify_track(gallery, track, add_embedding) for track in tracker.finish()}
    return tracks


def _batch_frames(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    """Group frames into batches of `size`, fewer where `MAX_BATCH_BYTES` requires it."""
    for first in frames:
        count = max(1, min(size, MAX_BATCH_BYTES // first.image.nbytes))
        yield [first, *islice(frames, count - 1)]


def _observe_faces(frame: Frame, faces: list[IdentifiedFace]) -> tuple[list[Record], list[FaceObservation]]:
    """Convert the faces of a frame to journal records and tracker input."""
    records = [
        {key: record[key] for key in ("box", "landmarks", "score")} | face.quality.to_dict()
        for record, face in zip([face.to_dict() for face in faces], faces, strict=True)
    ]
    observations = [
        FaceObservation(face.box, face.embedding, face.quality.weight, _crop_record(frame.number, records, i))
        for i, face in enumerate(faces)
    ]
    return records, observations


def _crop_record(frame_number: int, records: list[Record], face_index: int) -> Record:
    """Collect the values needed to crop a face later: its frame, its record and its neighbors' boxes."""
    neighbor_boxes = [record["box"] for i, record in enumerate(records) if i != face_index]
    return {"frame": frame_number, **records[face_index], "others": neighbor_boxes}


def _identify_track(gallery: Gallery, track: Track, add_embedding: AddEmbedding) -> Record:
    """Search the gallery for the template of an ended track and return the track's record."""
    quality = Quality(**{key: track.best.record[key] for key in ("score", "size", "sharpness", "profile")})
    identification = gallery.identify_embeddings(track.template[None], [quality])[0]
    return {
        "track": track.track_id,
        "faces": track.face_count,
        "first": {"frame": track.first[0], "time": track.first[1]},
        "last": {"frame": track.last[0], "time": track.last[1]},
        **identification.to_dict(),
        "best": track.best.record,
        "row": add_embedding(track.template) if identification.name is None else None,
    }


def _read_frames(frames_file: Path, tracks: dict[int, Record]) -> Iterator[Record]:
    """Yield the stored frame records, each face with the identification of its track."""
    keys = list(UNKNOWN_FACE.to_dict())
    with frames_file.open(encoding="ascii") as stream:
        for line in stream:
            record = json.loads(line)
            for face in record["faces"]:
                face |= {key: tracks[face["track"]][key] for key in keys}
            yield record
