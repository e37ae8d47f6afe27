"""Face tracker: links the faces of consecutive video frames to tracks, one per appearance of a person.

A face continues a track if its box overlaps the predicted box of the track (constant velocity) and its embedding is
similar to the track's template. A much more similar face continues the track from any position (re-identification).
All faces of a frame are assigned at once, one to one, with the largest sum of IoU and similarity. A track stores only
the weighted sum of its embeddings, so its memory does not grow with its length.

References:

- assignment: `onelook.media.assignment`;
- tracking by overlap and appearance: Wojke et al., "Simple online and realtime tracking with a deep association metric"
  (DeepSORT), 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onelook.face_templates import normalize_sums
from onelook.geometry.boxes import pairwise_iou
from onelook.media.assignment import maximize_assignment

MIN_IOU = 0.1
"""Lowest overlap with the predicted box; below it, a face needs the re-identification similarity."""
# A face that is occluded or turned away mostly reappears within a second. Later it is a new appearance.
MAX_GAP_SECONDS = 1.0
# At low frame rates a second is less than a frame or two: this many missed frames never end a track.
_MAX_GAP_FRAMES = 2


@dataclass(frozen=True, eq=False)
class FaceObservation:
    """A face detected in one frame.

    Attributes:
        box: (4,) x1 y1 x2 y2 in pixels.
        embedding: (d,) float32, L2-normalized.
        weight: positive weight in the template of the track.
        record: any data to keep with the best observation of the track.
    """

    box: np.ndarray
    embedding: np.ndarray
    weight: float
    record: Any = None


@dataclass(eq=False)
class Track:
    """Appearance of one person in consecutive frames.

    Attributes:
        track_id: 1, 2, … in the order of the first faces.
        first: (frame, seconds) of the first face.
        last: (frame, seconds) of the last face.
        face_count: number of faces.
        embedding_sum: (d,) float64, sum of the weighted embeddings.
        best: observation with the largest weight.
        box: (4,) box of the last face.
        velocity: (2,) float64, velocity of the box center in pixels per second.
        missed_frames: number of frames since the last face.
    """

    track_id: int
    first: tuple[int, float]
    last: tuple[int, float]
    face_count: int
    embedding_sum: np.ndarray
    best: FaceObservation
    box: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    missed_frames: int = 0

    @property
    def template(self) -> np.ndarray:
        """Return the template (d,) float32, L2-normalized."""
        return normalize_sums(self.embedding_sum)

    def predict_box(self, seconds: float) -> np.ndarray:
        """Predict the box (4,) at a time, by constant velocity."""
        return self.box + np.tile(self.velocity * (seconds - self.last[1]), 2)

    def update(self, frame: int, seconds: float, observation: FaceObservation) -> None:
        """Add a face to the track."""
        elapsed = seconds - self.last[1]
        if elapsed > 0:
            self.velocity = (_center(observation.box) - _center(self.box)) / elapsed
        self.box, self.last, self.missed_frames = observation.box, (frame, seconds), 0
        self.face_count += 1
        self.embedding_sum = self.embedding_sum + observation.weight * observation.embedding.astype(np.float64)
        if observation.weight > self.best.weight:
            self.best = observation


class Tracker:
    """Online tracker that holds the open tracks of a video."""

    def __init__(self, min_similarity: float, reid_similarity: float) -> None:
        """Create a tracker without tracks.

        Args:
            min_similarity: lowest similarity with the template of a track whose predicted box overlaps the face.
            reid_similarity: lowest similarity with the template of any other track.
        """
        self._min_similarity = min_similarity
        self._reid_similarity = reid_similarity
        self._open_tracks: list[Track] = []
        self._track_count = 0

    @property
    def open_tracks(self) -> tuple[Track, ...]:
        """Return the tracks that have not ended."""
        return tuple(self._open_tracks)

    def update(
        self, frame: int, seconds: float, observations: Sequence[FaceObservation]
    ) -> tuple[list[int], list[Track]]:
        """Assign the faces of the next frame to tracks.

        Args:
            frame: frame number.
            seconds: time of the frame.
            observations: faces of the frame.

        Returns:
            The track id of each face, and the tracks that ended.
        """
        assignment = assign_tracks(
            self._open_tracks, observations, seconds, self._min_similarity, self._reid_similarity
        )
        for track in self._open_tracks:
            track.missed_frames += 1
        track_ids = []
        for i, observation in enumerate(observations):
            if i in assignment:
                track = self._open_tracks[assignment[i]]
                track.update(frame, seconds, observation)
            else:
                track = self._start_track(frame, seconds, observation)
            track_ids.append(track.track_id)
        ended = [track for track in self._open_tracks if _is_lost(track, seconds)]
        self._open_tracks = [track for track in self._open_tracks if track not in ended]
        return track_ids, ended

    def finish(self) -> list[Track]:
        """End and return the open tracks."""
        ended, self._open_tracks = self._open_tracks, []
        return ended

    def _start_track(self, frame: int, seconds: float, observation: FaceObservation) -> Track:
        self._track_count += 1
        track = Track(
            track_id=self._track_count,
            first=(frame, seconds),
            last=(frame, seconds),
            face_count=1,
            embedding_sum=observation.weight * observation.embedding.astype(np.float64),
            best=observation,
            box=observation.box,
        )
        self._open_tracks.append(track)
        return track


def assign_tracks(
    tracks: Sequence[Track],
    observations: Sequence[FaceObservation],
    seconds: float,
    min_similarity: float,
    reid_similarity: float,
) -> dict[int, int]:
    """Assign faces to tracks one to one, maximizing IoU plus similarity.

    Args:
        tracks: open tracks.
        observations: faces of a frame.
        seconds: time of the frame.
        min_similarity: see `Tracker`.
        reid_similarity: see `Tracker`.

    Returns:
        The index of the track of each face, by the index of the face; faces that start a track are missing.
    """
    if not tracks or not observations:
        return {}
    predicted = np.stack([track.predict_box(seconds) for track in tracks])
    iou = pairwise_iou(np.stack([observation.box for observation in observations]).astype(np.float64), predicted)
    templates = np.stack([track.template for track in tracks])
    similarity = np.stack([observation.embedding for observation in observations]) @ templates.T
    admissible = ((iou >= MIN_IOU) & (similarity >= min_similarity)) | (similarity >= reid_similarity)
    scores = np.where(admissible, iou + similarity, 0)
    rows, columns = maximize_assignment(scores)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if admissible[row, column]}


def _is_lost(track: Track, seconds: float) -> bool:
    return track.missed_frames > _MAX_GAP_FRAMES and seconds - track.last[1] > MAX_GAP_SECONDS


def _center(box: np.ndarray) -> np.ndarray:
    return (np.asarray(box[:2], np.float64) + box[2:]) / 2
