"""Percentile bootstrap intervals (Efron and Tibshirani 1993, ch. 13) and paired intervals over repeated trainings."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

Metrics = dict[str, float]
COVERAGE = 0.95


def bootstrap_intervals(
    compute_metrics: Callable[[np.ndarray], Metrics],
    strata: Sequence[int],
    resamples: int,
    seed: int,
    *,
    coverage: float = COVERAGE,
) -> Metrics:
    """Compute metrics with their percentile bootstrap intervals.

    The resampled units are images, or people with all their probes. All data of a unit is resampled together, because
    faces of one person or image are not independent.

    Args:
        compute_metrics: metrics by name, from unit weights (units,) float64; NaN is an undefined metric.
        strata: numbers of units in the strata, which are stored one after the other; each is resampled by itself.
        resamples: number of bootstrap resamples.
        seed: of the random generator.
        coverage: of the intervals, in 0..1.

    Returns:
        Each metric, with `<name>_low` and `<name>_high`. A metric that is NaN for all units, or in every resample, is
        left out.
    """
    rng = np.random.default_rng(seed)
    samples = [rng.multinomial(size, np.full(size, 1 / size), resamples) for size in strata if size]
    weights = np.concatenate(samples, axis=1).astype(np.float64) if samples else np.zeros((0, 0))
    resampled = [compute_metrics(each) for each in weights]
    result: Metrics = {}
    for name, value in compute_metrics(np.ones(weights.shape[1])).items():
        values = np.array([metrics[name] for metrics in resampled])
        values = values[np.isfinite(values)]
        if np.isfinite(value) and len(values):
            low, high = np.percentile(values, [50 * (1 - coverage), 50 * (1 + coverage)])
            result |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


class MeanDifference(NamedTuple):
    """A mean difference and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(metric: Sequence[float], baseline: Sequence[float]) -> MeanDifference:
    """Compute the mean difference of two trainings over paired repeats.

    The interval is Student's with n - 1 degrees of freedom. With three repeats its half width is 4.3 standard errors.

    Args:
        metric, baseline: (n,) values, n >= 2; the i-th repeats of both share their data and random seeds.
    """
    differences = np.subtract(metric, baseline)
    mean, error = float(differences.mean()), float(stats.sem(differences))
    half_width = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return MeanDifference(mean, mean - half_width, mean + half_width)
