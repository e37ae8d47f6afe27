"""Intervals of means over repeated trainings that are all measured on one sample of people or photos.

A helper of hypothesis.py. Two things make such a mean uncertain: which trainings were run, and who is in the test data.
Their variances are added:

    var(mean) = (variance over the trainings) / (number of trainings) + (variance of the mean under a bootstrap)

The first term is estimated with n - 1 degrees of freedom, the second with very many, so Student's distribution gets
those of Welch and Satterthwaite (Satterthwaite 1946). The interaction of training and test data is in both terms:
intervals are rather too wide than too narrow.
"""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats

COVERAGE = 0.95


class Estimate(NamedTuple):
    """A mean with the limits of its 95 % interval.

    Attributes:
        value: the mean.
        low, high: limits; equal to the mean where neither trainings nor resamples differ.
        p: probability of a mean at least as far from zero, if the true one is zero; 1 where nothing differs.
    """

    value: float
    low: float
    high: float
    p: float


def estimate_mean(values: np.ndarray, resampled: np.ndarray) -> Estimate:
    """Estimate the mean of a metric, or of the difference of two.

    Args:
        values: (trainings,) on the test data as they are. With one value, the trainings add no variance.
        resampled: (trainings, resamples) on bootstrap resamples of the test data, the same for all trainings.
    """
    count = len(values)
    mean = float(values.mean())
    of_trainings = float(values.var(ddof=1)) / count if count > 1 else 0.0
    of_test = float(resampled.mean(axis=0).var(ddof=1))
    variance = of_trainings + of_test
    if variance == 0:
        return Estimate(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    freedom = (count - 1) * (variance / of_trainings) ** 2 if of_trainings > 0 else np.inf
    error = sqrt(variance)
    half_width = float(stats.t.ppf((1 + COVERAGE) / 2, freedom)) * error
    return Estimate(mean, mean - half_width, mean + half_width, float(2 * stats.t.sf(abs(mean) / error, freedom)))


def adjust_holm(probabilities: Sequence[float]) -> list[float]:
    """Adjust p values for their number by the step-down procedure of Holm (1979), in their order.

    Raises:
        ValueError: one is not a number.
    """
    if not all(map(isfinite, probabilities)):
        raise ValueError("a p value is not a number")
    order = np.argsort(probabilities, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.minimum(1, np.maximum.accumulate(factors * np.asarray(probabilities, np.float64)[order]))
    result = np.empty(len(order))
    result[order] = adjusted
    return result.tolist()
