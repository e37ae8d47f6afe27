"""LFW's way to report verification (Huang et al. 2007, section 5): pairs in ten folds, a threshold from nine of them.

Scores are those of given pairs; NaN where a face of the pair was not found, which is a wrong answer whatever the pair.
"""

from typing import NamedTuple

import numpy as np

FOLDS = 10


class FoldAccuracy(NamedTuple):
    """Mean accuracy over the folds, and the standard error of that mean."""

    mean: float
    error: float


def fold_accuracy(scores: np.ndarray, same: np.ndarray) -> FoldAccuracy:
    """Accuracy in each tenth of the pairs at the threshold that is best on the other nine.

    Args:
        scores: (n,) similarities.
        same: (n,) bool, whether a pair is of one person. The n-th tenth of the pairs of either kind, in their order,
            makes the n-th fold.
    """
    folds = np.empty(len(scores), np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(same == kind)
        folds[rows] = np.arange(len(rows)) * FOLDS // max(len(rows), 1)
    accuracies = []
    for fold in range(FOLDS):
        held = folds == fold
        threshold = best_threshold(scores[~held], same[~held])
        accuracies.append(right(scores[held], same[held], threshold).mean())
    return FoldAccuracy(float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(FOLDS)))


def right(scores: np.ndarray, same: np.ndarray, threshold: float) -> np.ndarray:
    """Which pairs (n,) are answered right when those that reach the threshold are said to be of one person."""
    answered: np.ndarray = np.isfinite(scores) & ((scores >= threshold) == same)
    return answered


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """A threshold at which most of these pairs are answered right, half-way between two neighboring scores."""
    candidates = np.unique(scores[np.isfinite(scores)])
    if len(candidates) == 0:
        return np.inf
    order = np.argsort(scores)
    finite = order[np.isfinite(scores[order])]
    # Below each candidate, impostors are right; from it on, genuine pairs are.
    below = np.searchsorted(scores[finite], candidates)
    impostors_before = np.concatenate([[0], np.cumsum(~same[finite])])[below]
    genuine_from = same[finite].sum() - np.concatenate([[0], np.cumsum(same[finite])])[below]
    best = int(np.argmax(impostors_before + genuine_from))
    return float(candidates[max(0, best - 1) : best + 1].mean())


def tar_at_far(scores: np.ndarray, same: np.ndarray, far: float) -> float:
    """The share of genuine pairs accepted where at most `far` of the impostor pairs are; a missed face is refused."""
    impostors = np.sort(np.nan_to_num(scores[~same], nan=-np.inf))[::-1]
    allowed = int(np.floor(far * len(impostors) + 1e-9))
    # Scores above the first impostor that would be one too many are accepted.
    limit = impostors[allowed] if allowed < len(impostors) else -np.inf
    genuine = scores[same]
    return float((np.nan_to_num(genuine, nan=-np.inf) > limit).mean())
