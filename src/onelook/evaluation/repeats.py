"""Trainings that were repeated with other random numbers: what differs between two kinds of them, and how surely."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


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
