"""Bootstrap intervals: how much a figure would vary with other photos or people (Efron and Tibshirani 1993, ch. 13)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

Figures = dict[str, float]
COVERAGE = 0.95


def with_intervals(
    figures: Callable[[np.ndarray], Figures], strata: Sequence[int], resamples: int, seed: int
) -> Figures:
    """Figures of all units and, as `<name>_low` and `<name>_high`, their percentile intervals of 95 %.

    Units (photos, or people with all their probes) are drawn with replacement, as many as there are; what belongs to
    one unit always stays together, because faces of one person or photo are no independent witnesses.

    Args:
        figures: figures by name, from (units,) float64: how often each unit counts. NaN is a figure without meaning.
        strata: sizes of the groups of units, which lie one after the other; each is drawn from by itself.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        Figures that are NaN for all units, or for every draw, are left out.
    """
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(size, np.full(size, 1 / size), resamples) for size in strata if size]
    counts = np.concatenate(drawn, axis=1).astype(np.float64) if drawn else np.zeros((0, 0))
    varied = [figures(weights) for weights in counts]
    result: Figures = {}
    for name, value in figures(np.ones(counts.shape[1])).items():
        values = np.array([other[name] for other in varied])
        values = values[np.isfinite(values)]
        if np.isfinite(value) and len(values):
            low, high = np.percentile(values, [50 * (1 - COVERAGE), 50 * (1 + COVERAGE)])
            result |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


class Difference(NamedTuple):
    """A mean difference and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """How much higher a figure is in one kind of training than in the other, repeat by repeat.

    Args:
        ours, theirs: the figure (n,) of each repeat, n >= 2; the i-th of both share their data and random numbers.

    Returns:
        The mean of the n differences with Student's interval of n - 1 degrees of freedom. With three repeats it is
        4.3 standard errors wide either way: what lies outside is not chance, what lies inside may be too small to see.
    """
    differences = np.subtract(ours, theirs)
    mean, error = float(differences.mean()), float(stats.sem(differences))
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return Difference(mean, mean - reach, mean + reach)
