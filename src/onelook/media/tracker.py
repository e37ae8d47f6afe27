"""Faces linked over the frames of a video: one track for each appearance of a person.

A face belongs to the track whose box it overlaps, where that box has moved on at its last speed, and whose faces it
resembles. All faces of a frame are linked at once, one to one, so that together they fit best (Kuhn, "The Hungarian
method for the assignment problem", 1955; for tracks by place and looks: Wojke et al., "Simple online and realtime
tracking with a deep association metric", 2017). The sum of a track is its template so far, so that a track takes the
same memory however long it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from onelook.geometry.boxes import pairwise_iou

LEAST_IOU = 0.1
"""Overlap under which a face is elsewhere: then it must resemble the track as nobody else would."""
# A face turned away or behind somebody is mostly back within a second; longer than that it is a new appearance.
GAP_SECONDS = 1.0
_GAP_FRAMES = 2


@dataclass(frozen=True, eq=False)
class Sighting:
    """A face in a frame.

    Attributes:
        box: (4,) x1 y1 x2 y2 in pixels.
        embedding: (d,) float32 of length 1.
        weight: how much it counts in its track's template, above 0.
        told: what is kept of the track's best sighting.
    """

    box: np.ndarray
    embedding: np.ndarray
    weight: float
    told: Any = None


@dataclass(eq=False)
class Track:
    """A person's appearance.

    Attributes:
        number: 1, 2, … in the order of beginning.
        first: (frame, seconds) of its first face.
        last: of its last one.
        faces: how many it has.
        total: (d,) float64, the sum of its embeddings times their weights.
        best: the sighting with the largest weight.
    """

    number: int
    first: tuple[int, float]
    last: tuple[int, float]
    faces: int
    total: np.ndarray
    best: Sighting
    box: np.ndarray
    speed: np.ndarray = field(default_factory=lambda: np.zeros(2))
    unseen: int = 0

    @property
    def template(self) -> np.ndarray:
        """(d,) float32 of length 1."""
        return (self.total / max(float(np.linalg.norm(self.total)), 1e-12)).astype(np.float32)

    def guess(self, seconds: float) -> np.ndarray:
        """Where its box (4,) would be at this time, moved on at the speed it had."""
        return self.box + np.tile(self.speed * (seconds - self.last[1]), 2)

    def take(self, frame: int, seconds: float, seen: Sighting) -> None:
        """Go on with a face."""
        passed = seconds - self.last[1]
        if passed > 0:
            self.speed = (_center(seen.box) - _center(self.box)) / passed
        self.box, self.last, self.unseen = seen.box, (frame, seconds), 0
        self.faces += 1
        self.total = self.total + seen.weight * seen.embedding.astype(np.float64)
        if seen.weight > self.best.weight:
            self.best = seen


class Tracker:
    """The open tracks of a video."""

    def __init__(self, same: float, sure: float) -> None:
        """Take two similarities: `same` is needed where the box fits too, `sure` where a face is somewhere else."""
        self._same = same
        self._sure = sure
        self._open: list[Track] = []
        self._begun = 0

    def step(self, frame: int, seconds: float, seen: Sequence[Sighting]) -> tuple[list[int], list[Track]]:
        """Link the faces of the next frame.

        Returns:
            The number of each face's track, and the tracks that have ended.
        """
        links = assign_tracks(self._open, seen, seconds, self._same, self._sure)
        for track in self._open:
            track.unseen += 1
        numbers = []
        for face, sighting in enumerate(seen):
            if face in links:
                track = self._open[links[face]]
                track.take(frame, seconds, sighting)
            else:
                track = self._begin(frame, seconds, sighting)
            numbers.append(track.number)
        over = [each for each in self._open if each.unseen > _GAP_FRAMES and seconds - each.last[1] > GAP_SECONDS]
        self._open = [each for each in self._open if each not in over]
        return numbers, over

    def finish(self) -> list[Track]:
        """The tracks that are still open at the end."""
        rest, self._open = self._open, []
        return rest

    def _begin(self, frame: int, seconds: float, seen: Sighting) -> Track:
        self._begun += 1
        here = frame, seconds
        total = seen.weight * seen.embedding.astype(np.float64)
        track = Track(self._begun, here, here, 1, total, seen, seen.box)
        self._open.append(track)
        return track


def assign_tracks(
    tracks: Sequence[Track], seen: Sequence[Sighting], seconds: float, same: float, sure: float
) -> dict[int, int]:
    """Which track each face goes on with, by their places; faces that begin a track are left out.

    Of all ways to link them it is the one with the largest sum of overlap and similarity.
    """
    if not tracks or not seen:
        return {}
    guesses = np.stack([track.guess(seconds) for track in tracks])
    overlap = pairwise_iou(np.stack([each.box for each in seen]).astype(np.float64), guesses)
    similarity = np.stack([each.embedding for each in seen]) @ np.stack([track.template for track in tracks]).T
    fits = ((overlap >= LEAST_IOU) & (similarity >= same)) | (similarity >= sure)
    worth = np.where(fits, overlap + similarity, 0)
    faces, places = linear_sum_assignment(worth, maximize=True)
    return {int(face): int(place) for face, place in zip(faces, places, strict=True) if fits[face, place]}


def _center(box: np.ndarray) -> np.ndarray:
    return (np.asarray(box[:2], np.float64) + box[2:]) / 2
