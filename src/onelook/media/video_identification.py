"""Looking at a video: its faces are linked to tracks, and each track is named once, by all of its faces together.

While it is looked at, the faces of its frames lie in a file beside the results, as who they are is known only when
their track has ended. Memory holds the open tracks and an answer for each that has ended.
"""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from onelook.errors import VideoError
from onelook.gallery.enrollment import PASS
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import Identification, IdentifiedFace
from onelook.media.discovery import Source
from onelook.media.journal import Line
from onelook.media.photo_identification import MOST_BYTES, measure_faces, measured, picture_path
from onelook.media.tracker import Sighting, Track, Tracker
from onelook.media.video_drawing import draw_video
from onelook.media.video_io import Frame, VideoReader

# The similarity needed of a face somewhere else is that of a gallery of so many people: nobody else resembles so much.
_SURE_AMONG = 1000

Keep = Callable[[np.ndarray], int]
Watch = Callable[[int, int], None]


def identify_video(
    gallery: Gallery, source: Source, every: int, spool: Path, keep: Keep, pictures: Path | None, watched: Watch
) -> Iterator[Line]:
    """What a video shows: a line a frame with faces, a line a track, and a last one about the video.

    Args:
        gallery: names the tracks.
        source: the video.
        every: every so many frames one is looked at.
        spool: a file that may be written over.
        keep: takes the template (d,) of an unknown track and gives its row number.
        pictures: the folder of the videos with the faces drawn in; None: it is not drawn.
        watched: called now and then with the frames read and those that the container tells of.
    """
    last: Line = {"what": "video", "source": str(source.path), "bytes": source.bytes, "mtime_ns": source.mtime_ns}
    last |= {"frames": 0, "tracks": 0, "picture": None, "error": source.why, "more": False}
    try:
        if source.why is not None:
            raise VideoError(source.why)
        with VideoReader(source.path) as reader:
            tracks = _follow(gallery, reader, every, spool, keep, watched)
            last |= {"frames": reader.read, "tracks": len(tracks), "error": reader.shortcoming}
    except VideoError as error:
        yield last | {"error": str(error)}
        return
    start = {"source": str(source.path), "more": True}
    yield from ({"what": "frame", **start, **line} for line in told(spool, tracks) if line["faces"])
    yield from ({"what": "track", **start, **tracks[number]} for number in sorted(tracks))
    if not tracks and last["error"] is None:
        last["error"] = f"{source.path}: no face found"
    if pictures is not None:
        path = picture_path(pictures, source, ".mp4")
        draw_video(path, source.path, told(spool, tracks))
        last["picture"] = path.relative_to(pictures.parent).as_posix()
    yield last


def told(spool: Path, tracks: dict[int, Line]) -> Iterator[Line]:
    """The frames that were looked at, each face with what its track was told."""
    answered = Identification.__dataclass_fields__
    with spool.open(encoding="ascii") as stream:
        for text in stream:
            line = json.loads(text)
            for face in line["faces"]:
                face |= {key: tracks[face["track"]][key] for key in answered}
            yield line


def _follow(
    gallery: Gallery, reader: VideoReader, every: int, spool: Path, keep: Keep, watched: Watch
) -> dict[int, Line]:
    """Look at the frames, write their faces into `spool`, and name the tracks; what is told of each by its number."""
    terms = gallery.terms
    tracker = Tracker(terms.threshold_for(1), terms.threshold_for(_SURE_AMONG))
    tracks: dict[int, Line] = {}
    with spool.open("w", encoding="ascii") as stream:
        for frames in _batches(reader.frames(every)):
            looks = gallery.identify_all([frame.image for frame in frames])
            watched(reader.read, reader.told)
            for frame, faces in zip(frames, looks, strict=True):
                seconds = round(frame.seconds, 6)
                records, seen = _see(frame, faces, terms.detect.longest_side)
                numbers, ended = tracker.step(frame.number, seconds, seen)
                tracks |= {track.number: _named(gallery, track, keep) for track in ended}
                shown = [record | {"track": number} for record, number in zip(records, numbers, strict=True)]
                line = {"frame": frame.number, "time": seconds, "faces": shown}
                stream.write(json.dumps(line, allow_nan=False) + "\n")
        tracks |= {track.number: _named(gallery, track, keep) for track in tracker.finish()}
    return tracks


def _batches(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    """Frames that are looked at together, as many as `PASS` or as their bytes allow."""
    for first in frames:
        count = max(1, min(PASS, MOST_BYTES // first.image.nbytes))
        yield [first, *islice(frames, count - 1)]


def _see(frame: Frame, faces: list[IdentifiedFace], longest_side: int) -> tuple[list[Line], list[Sighting]]:
    """What is written of each face of a frame, and what the tracker needs of it."""
    (qualities,) = measure_faces([frame.image], [faces], longest_side)
    records = [
        {key: record[key] for key in ("box", "landmarks", "score")} | measured(quality)
        for record, quality in zip([face.record() for face in faces], qualities, strict=True)
    ]
    seen = [
        Sighting(face.box, face.embedding, quality.weight, _best(frame.number, records, number))
        for number, (face, quality) in enumerate(zip(faces, qualities, strict=True))
    ]
    return records, seen


def _best(frame: int, records: list[Line], face: int) -> Line:
    """What is needed to cut a face out of its frame later: where it is, and where its neighbors are."""
    others = [record["box"] for number, record in enumerate(records) if number != face]
    return {"frame": frame, **records[face], "others": others}


def _named(gallery: Gallery, track: Track, keep: Keep) -> Line:
    answer = gallery.name(track.template[None])[0]
    return {
        "track": track.number,
        "faces": track.faces,
        "first": {"frame": track.first[0], "time": track.first[1]},
        "last": {"frame": track.last[0], "time": track.last[1]},
        **answer.record(),
        "best": track.best.told,
        "row": keep(track.template) if answer.name is None else None,
    }
