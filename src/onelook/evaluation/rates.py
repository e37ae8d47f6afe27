"""Rates above a threshold, and the threshold for a rate; a score passes a threshold that it reaches."""

import numpy as np

_LOWEST = float(np.finfo(np.float64).min)


def threshold_at(descending: np.ndarray, rate: float, weights: np.ndarray | None = None) -> float:
    """The lowest threshold that at most a share `rate` of the scores reaches.

    Args:
        descending: (n,) float64, highest first.
        rate: in 0..1.
        weights: (n,) how often each score counts, once by default.

    Returns:
        The number next above the highest score that must not pass; where all may, the lowest finite number: the score
        minus infinity, of a face that was not found, passes no threshold.
    """
    passed = np.cumsum(np.ones(len(descending)) if weights is None else weights)
    total = passed[-1] if len(passed) else 0.0
    # The small term forgives rounding: 29 % of 100 scores are 29 scores, not 28.
    refused = int(np.searchsorted(passed, rate * total + 1e-9, side="right"))
    return float(np.nextafter(descending[refused], np.inf)) if refused < len(descending) else _LOWEST


def share_at(descending: np.ndarray, threshold: float, weights: np.ndarray | None = None) -> float:
    """The share of the scores (n,), highest first, that reaches the threshold; NaN where nothing counts."""
    passing = int(np.searchsorted(-descending, -threshold, side="right"))
    if weights is None:
        return passing / len(descending) if len(descending) else float("nan")
    total = float(weights.sum())
    return float(weights[:passing].sum()) / total if total > 0 else float("nan")
