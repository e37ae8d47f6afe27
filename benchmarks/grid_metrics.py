"""Metrics of the grid study: closed-set accuracy, box IoU, intervals over people and seeds, equivalence.

A helper of grid_study.py. Arrays of trainings are (seeds, faces): one row a seed, the same faces in each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from onelook.data.manifest import Manifest
from onelook.detections import Detections
from onelook.evaluation.bootstrap import COVERAGE, bootstrap_intervals
from onelook.geometry.boxes import pairwise_iou

MARGIN = 0.03
"""Largest difference in accuracy, or in IoU, that counts as none. It was fixed before the trainings."""
EQUIVALENCE_COVERAGE = 0.9
"""Coverage of the interval that must lie within the margin: that of two one-sided tests at 5 %."""
SCORE, FOUND_IOU = 0.5, 0.5
"""Lowest score of a box, and lowest IoU of the box of a found face."""
RESAMPLES, SEED = 2000, 2026


class Faces(NamedTuple):
    """Labeled faces of a set of photos, photo by photo.

    Attributes:
        photos: (n,) int64, the photo of each face.
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the photo.
        landmarks: (n, 5, 2) float32.
        people: (n,) int64, index of the person.
    """

    photos: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    people: np.ndarray


class Found(NamedTuple):
    """The boxes that labeled faces have in detections.

    Attributes:
        ious: (n,) IoU of the box that covers the face best; 0 without a box.
        landmarks: (n, 5, 2) float32 of that box; NaN where its IoU is below FOUND_IOU.
    """

    ious: np.ndarray
    landmarks: np.ndarray

    @property
    def is_found(self) -> np.ndarray:
        """Return a mask (n,) of the found faces."""
        return self.ious >= FOUND_IOU


class Interval(NamedTuple):
    """A value with its 95 % interval, and the interval for the test of equivalence."""

    value: float
    low: float
    high: float
    equivalence_low: float
    equivalence_high: float

    @property
    def is_equivalent(self) -> bool:
        """Return True where a difference of this interval is within the margin."""
        return self.equivalence_low > -MARGIN and self.equivalence_high < MARGIN


def labeled_faces(photos: Manifest, index: Mapping[str, int]) -> Faces:
    """Collect the labeled faces of photos; `index` maps each person to a number."""
    faces = [(number, face) for number, scene in enumerate(photos.scenes) for face in scene.faces]
    return Faces(
        np.array([number for number, _ in faces]),
        np.stack([face.box for _, face in faces]),
        np.stack([face.landmarks for _, face in faces]),
        np.array([index[face.identity or ""] for _, face in faces]),
    )


def match_faces(detections: Sequence[Detections], labels: Faces) -> Found:
    """Match detections (one item a photo) to labeled faces.

    Of a photo with k faces, the k boxes with the highest scores of at least SCORE count.
    """
    found = Found(np.zeros(len(labels.photos)), np.full(labels.landmarks.shape, np.nan, np.float32))
    for photo, all_boxes in enumerate(detections):
        rows = np.flatnonzero(labels.photos == photo)
        own = all_boxes.above(SCORE).take(np.arange(min(len(rows), int((all_boxes.scores >= SCORE).sum()))))
        if len(own) == 0:
            continue
        ious = np.asarray(pairwise_iou(labels.boxes[rows], own.boxes))
        best = ious.argmax(axis=1)
        found.ious[rows] = ious.max(axis=1)
        is_found = found.is_found[rows]
        found.landmarks[rows[is_found]] = own.landmarks[best[is_found]]
    return found


def classify(embeddings: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the class (n,) int64 with the most similar center; -1 for embeddings of NaN.

    Args:
        embeddings: (n, dim).
        centers: (classes, dim), L2-normalized.
    """
    is_known = np.isfinite(embeddings).all(axis=1)
    return np.where(is_known, (np.nan_to_num(embeddings) @ centers.T).argmax(axis=1), -1)


def mean_intervals(values: Mapping[str, np.ndarray], people: np.ndarray) -> dict[str, Interval]:
    """Compute the mean of each (seeds, faces) array, with bootstrap intervals over people and over seeds.

    Faces of one person are resampled together. All arrays share the resamples, and those of an equal number of seeds
    the seeds, so a difference of two is paired: pass it as an array of its own.

    Args:
        values: by name, all with the same number of seeds.
        people: (faces,) int64.
    """
    _, people = np.unique(people, return_inverse=True)
    count, seeds = 1 + int(people.max()), len(next(iter(values.values())))
    sizes = np.bincount(people).astype(np.float64)
    sums = {
        name: np.stack([np.bincount(people, weights=row, minlength=count) for row in array.astype(np.float64)])
        for name, array in values.items()
    }

    def metrics(weights: np.ndarray) -> dict[str, float]:
        of_person, of_seed = weights[:count], weights[count:]
        faces = float(of_seed.sum() * (of_person @ sizes))
        return {name: float(of_seed @ rows @ of_person) / faces for name, rows in sums.items()}

    return with_intervals(metrics, (count, seeds))


def with_intervals(metrics: Callable[[np.ndarray], dict[str, float]], strata: tuple[int, int]) -> dict[str, Interval]:
    """Compute metrics of weights (people + seeds,) by name, with both intervals over the same resamples.

    Args:
        metrics: function of the weights.
        strata: numbers of people and of seeds.
    """
    wide, narrow = (
        bootstrap_intervals(metrics, strata, RESAMPLES, SEED, coverage=coverage)
        for coverage in (COVERAGE, EQUIVALENCE_COVERAGE)
    )
    return {
        name: Interval(wide[name], *(each[f"{name}_{end}"] for each in (wide, narrow) for end in ("low", "high")))
        for name in metrics(np.ones(sum(strata)))
    }
