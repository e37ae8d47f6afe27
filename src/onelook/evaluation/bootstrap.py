"""Bootstrap intervals: how much a figure would vary with other photos or people (Efron and Tibshirani 1993, ch. 13)."""

from collections.abc import Callable, Sequence

import numpy as np

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
