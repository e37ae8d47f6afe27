"""Landmark error (NME) of the five points, normalized by face size or by the distance between the eyes."""

from typing import NamedTuple

import numpy as np

from onelook.geometry.boxes import box_sizes

FAILURE_THRESHOLD = 0.1
"""A face with a larger normalized error is a failure."""


class LandmarkErrors(NamedTuple):
    """Normalized landmark errors of n faces.

    size_normalized, interocular: (n,) float64, from `landmark_errors` and `interocular_errors`.
    scenes, faces: (n,) int64, the scene of each face, and its row in the scene.
    """

    size_normalized: np.ndarray
    interocular: np.ndarray
    scenes: np.ndarray
    faces: np.ndarray


def landmark_errors(predicted: np.ndarray, labeled: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute the mean point distance divided by the face size sqrt(w h).

    RetinaFace reports this normalization for AFLW (Deng et al. 2019, section 4.4).

    Args:
        predicted, labeled: (n, 5, 2) in pixels; points that are NaN in either are left out.
        boxes: (n, 4) labeled boxes.

    Returns:
        (n,) float64, NaN for a face without a labeled point.
    """
    return _mean_distances(predicted, labeled) / box_sizes(boxes.astype(np.float64))


def interocular_errors(predicted: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Compute the mean point distance divided by the distance between the eyes.

    The distance is that of the eye centers, as five points have no eye corners. It is shorter than the distance of the
    outer corners, by which larger point sets are normalized, so the same points give a larger error.

    Args:
        predicted, labeled: (n, 5, 2) in pixels; points that are NaN in either are left out.

    Returns:
        (n,) float64, NaN for a face where an eye has no label or both eyes have the same position.
    """
    distances = np.linalg.norm(labeled[:, 0].astype(np.float64) - labeled[:, 1], axis=-1)
    return _mean_distances(predicted, labeled) / np.where(distances > 0, distances, np.nan)


def landmark_metrics(errors: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Compute `nme`, the mean error, and `failure_rate`.

    Args:
        errors: (n,) normalized errors of faces; NaN is left out.
        weights: (n,) weight of each face, 1 by default.
    """
    is_defined = np.isfinite(errors)
    face_weights = (np.ones(len(errors)) if weights is None else weights)[is_defined]
    total = face_weights.sum()
    if total == 0:
        return {"nme": float("nan"), "failure_rate": float("nan")}
    return {
        "nme": float(face_weights @ errors[is_defined] / total),
        "failure_rate": float(face_weights @ (errors[is_defined] > FAILURE_THRESHOLD) / total),
    }


def cumulative_fraction(errors: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Compute the fraction (k,) of faces with an error of at most each of `limits` (k,).

    NaN errors are left out.
    """
    ordered = np.sort(errors[np.isfinite(errors)])
    return np.searchsorted(ordered, limits, side="right") / max(len(ordered), 1)


def _mean_distances(predicted: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Compute the mean distance (n,) float64 of the points that are finite in both."""
    distances = np.linalg.norm(predicted.astype(np.float64) - labeled, axis=-1)
    is_present = np.isfinite(distances)
    counts = is_present.sum(-1)
    sums = np.where(is_present, distances, 0.0).sum(-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
