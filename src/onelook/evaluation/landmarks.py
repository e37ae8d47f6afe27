"""Landmark error: how far the five points are off, as a share of the face's size or of the distance of its eyes."""

from typing import NamedTuple

import numpy as np

FAILURE = 0.1
"""An error above this share is a failure."""


class LandmarkErrors(NamedTuple):
    """Errors of n faces.

    by_size, by_eyes: (n,) float64, as `landmark_errors` and `interocular_errors` give them. scenes: (n,) int64, the
    scene of each.
    """

    by_size: np.ndarray
    by_eyes: np.ndarray
    scenes: np.ndarray


def landmark_errors(found: np.ndarray, labeled: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Mean point distance divided by the square root of the labeled box's area, per face.

    The normalization RetinaFace reports for AFLW (Deng et al. 2019, section 4.4: the face size, sqrt(w h)).

    Args:
        found, labeled: (n, 5, 2) in pixels; points that are NaN in either are left out.
        boxes: (n, 4) labeled boxes.

    Returns:
        (n,) float64, NaN for a face without a labeled point.
    """
    return _mean_distances(found, labeled) / np.sqrt((boxes[:, 2:].astype(np.float64) - boxes[:, :2]).prod(-1))


def interocular_errors(found: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """Mean point distance divided by the distance of the labeled eyes, per face.

    Of their centers: among five points there are no corners of eyes, between the outer ones of which the larger sets of
    points are measured. The distance of centers is shorter, so the same points make a larger error.

    Args:
        found, labeled: (n, 5, 2) in pixels; points that are NaN in either are left out.

    Returns:
        (n,) float64, NaN for a face without a labeled eye on either side, or with both at one place.
    """
    apart = np.linalg.norm(labeled[:, 0].astype(np.float64) - labeled[:, 1], axis=-1)
    return _mean_distances(found, labeled) / np.where(apart > 0, apart, np.nan)


def _mean_distances(found: np.ndarray, labeled: np.ndarray) -> np.ndarray:
    """(n,) float64 over the points that are in both, NaN where there is none."""
    distances = np.linalg.norm(found.astype(np.float64) - labeled, axis=-1)
    present = np.isfinite(distances)
    counts = present.sum(-1)
    sums = np.where(present, distances, 0.0).sum(-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def landmark_figures(errors: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """`nme`, the mean error, and `failure_rate` of faces (n,), each counted `weights` (n,) times; NaN is left out."""
    known = np.isfinite(errors)
    counted = (np.ones(len(errors)) if weights is None else weights)[known]
    total = counted.sum()
    if total == 0:
        return {"nme": float("nan"), "failure_rate": float("nan")}
    return {
        "nme": float(counted @ errors[known] / total),
        "failure_rate": float(counted @ (errors[known] > FAILURE) / total),
    }


def cumulative_share(errors: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The share (k,) of faces whose error is at most each of `at` (k,); NaN errors are left out."""
    ordered = np.sort(errors[np.isfinite(errors)])
    return np.searchsorted(ordered, at, side="right") / max(len(ordered), 1)
