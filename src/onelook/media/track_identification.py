"""Identification of the face tracks of successive frames: each track is identified once, by its template.

Memory holds only the open tracks, so the frames may come from an endless stream.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from onelook.face_quality import Quality
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import IdentifiedFace
from onelook.media.journal import Record
from onelook.media.photo_identification import MAX_BATCH_BYTES
from onelook.media.tracker import FaceObservation, Track, Tracker
from onelook.media.video_io import Frame

# Number of people at whose gallery threshold a face continues a track from any position in the frame.
_REID_PEOPLE_COUNT = 1000


class TrackedFrame(NamedTuple):
    """The faces of a frame, assigned to tracks.

    Attributes:
        record: journal record of the frame; each of its faces has the id of its `track`.
        ended: the tracks that ended with this frame.
    """

    record: Record
    ended: list[Track]


class TrackIdentifier:
    """Tracker of the faces of successive frames that identifies a track by its template."""

    def __init__(self, gallery: Gallery) -> None:
        """Start without tracks.

        Args:
            gallery: gallery to search.
        """
        metadata = gallery.metadata
        self._gallery = gallery
        self._tracker = Tracker(metadata.threshold_for(1), metadata.threshold_for(_REID_PEOPLE_COUNT))

    @property
    def open_tracks(self) -> tuple[Track, ...]:
        """Return the tracks that have not ended."""
        return self._tracker.open_tracks

    def update(self, frames: Sequence[Frame]) -> list[TrackedFrame]:
        """Detect the faces of the next frames in one batch and assign them to tracks."""
        tracked = []
        batch_faces = self._gallery.identify_all([frame.image for frame in frames])
        for frame, faces in zip(frames, batch_faces, strict=True):
            seconds = round(frame.seconds, 6)
            face_records, observations = _observe_faces(frame, faces)
            track_ids, ended = self._tracker.update(frame.number, seconds, observations)
            records = [record | {"track": track_id} for record, track_id in zip(face_records, track_ids, strict=True)]
            tracked.append(TrackedFrame({"frame": frame.number, "time": seconds, "faces": records}, ended))
        return tracked

    def finish(self) -> list[Track]:
        """End and return the open tracks."""
        return self._tracker.finish()

    def identify(self, track: Track) -> Record:
        """Search the gallery for the template of a track and return the track's record."""
        quality = Quality(**{key: track.best.record[key] for key in ("score", "size", "sharpness", "profile")})
        identification = self._gallery.identify_embeddings(track.template[None], [quality])[0]
        return {
            "track": track.track_id,
            "faces": track.face_count,
            "first": {"frame": track.first[0], "time": track.first[1]},
            "last": {"frame": track.last[0], "time": track.last[1]},
            **identification.to_dict(),
            "best": track.best.record,
        }


def batch_frames(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Group frames into batches of `size`, fewer where `MAX_BATCH_BYTES` requires it."""
    remaining = iter(frames)
    for first in remaining:
        count = max(1, min(size, MAX_BATCH_BYTES // first.image.nbytes))
        yield [first, *islice(remaining, count - 1)]


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
