"""Is a confidence what it says? Of names with a confidence of 0.8, four in five should be right.

Reliability diagram and expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
section 2. Intervals: Wilson, "Probable inference", 1927.
"""

from dataclasses import dataclass

import numpy as np

BINS = 10
_Z = 1.959964  # of 95 %


@dataclass(frozen=True, eq=False)
class Reliability:
    """Names in bins of confidence, of equal width; those without a name are left out.

    Attributes:
        confidence: (k,) float64, the mean confidence of each bin.
        right: (k,) float64, the share of its names that are right.
        low, high: (k,) float64, Wilson's interval of 95 % of that share.
        share: (k,) float64, the share of all weights that the bin holds.
    """

    confidence: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray
    share: np.ndarray

    def error(self) -> float:
        """The expected calibration error: how far confidence and share of right names are apart, on average."""
        return float(self.share @ np.abs(self.confidence - self.right))


def reliability(confidence: np.ndarray, right: np.ndarray, weights: np.ndarray) -> Reliability:
    """Put names with a confidence, right or not, and a weight, all (n,), into bins.

    The interval takes a bin's weights for as many equal ones as vary alike (Kish's effective size).
    """
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    totals = np.bincount(places, weights, BINS)
    kept = totals > 0
    totals = totals[kept]
    mean, share = (np.bincount(places, weights * values, BINS)[kept] / totals for values in (confidence, right))
    low, high = wilson(share, totals**2 / np.bincount(places, weights**2, BINS)[kept])
    return Reliability(mean, share, low, high, totals / totals.sum())


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of 95 % of shares (n,), each of `count` (n,) independent trials."""
    center = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return np.minimum(center - half, share), np.maximum(center + half, share)
