"""Landmark error: how far the five points are off, as a share of the face's size."""

import numpy as np

FAILURE = 0.1
"""An error above this share of the face's size is a failure."""


def landmark_errors(found: np.ndarray, labelled: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Mean point distance divided by the square root of the labelled box's area, per face.

    The normalisation RetinaFace reports for AFLW (Deng et al. 2019, section 4.4: the face size, sqrt(w h)).

    Args:
        found, labelled: (n, 5, 2) in pixels; points that are NaN in either are left out.
        boxes: (n, 4) labelled boxes.

    Returns:
        (n,) float64, NaN for a face without a labelled point.
    """
    distances = np.linalg.norm(found.astype(np.float64) - labelled, axis=-1)
    present = np.isfinite(distances)
    sizes = np.sqrt((boxes[:, 2:].astype(np.float64) - boxes[:, :2]).prod(-1))
    counts = present.sum(-1)
    sums = np.where(present, distances, 0.0).sum(-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1) / sizes, np.nan)


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
