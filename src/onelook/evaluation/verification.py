"""Verification: thresholds, TAR at FAR, accuracy, and the ten folds of LFW.

Two sources of pairs:

- All pairs of a split's probe faces that come from different source photos, by their end-to-end embeddings
  (`score_pairs`). A genuine pair with an undetected face counts as rejected. An impostor pair with one is left out,
  because it could not be accepted.
- The given pairs of a benchmark such as LFW (Huang et al. 2007, section 5), as similarities and labels. NaN is the
  similarity of a pair with an undetected face, which is a wrong answer for both kinds of pairs.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

MAX_IMPOSTOR_PAIRS = 300_000
"""With more impostor pairs, this many are sampled with replacement: 300 pairs at a FAR of one in a thousand."""
_CHUNK_SIZE = 50_000
_LOWEST_FINITE = float(np.finfo(np.float64).min)


def threshold_at_rate(descending: np.ndarray, rate: float, weights: np.ndarray | None = None) -> float:
    """Compute the lowest threshold that at most a fraction `rate` of scores reaches.

    Args:
        descending: (n,) float64, highest first.
        rate: in 0..1.
        weights: (n,) weight of each score, 1 by default.

    Returns:
        The number next above the highest score that must not pass. Where all may pass, it is the lowest finite number,
        so that minus infinity, the score of an undetected face, passes no threshold.
    """
    passed = np.cumsum(np.ones(len(descending)) if weights is None else weights)
    total = passed[-1] if len(passed) else 0.0
    # The small term absorbs rounding: 29 % of 100 scores are 29 scores, not 28.
    first_rejected = int(np.searchsorted(passed, rate * total + 1e-9, side="right"))
    if first_rejected == len(descending):
        return _LOWEST_FINITE
    return float(np.nextafter(descending[first_rejected], np.inf))


def rate_at_threshold(descending: np.ndarray, threshold: float, weights: np.ndarray | None = None) -> float:
    """Compute the fraction of scores (n,), highest first, that reaches a threshold.

    Returns:
        NaN where the weights sum to zero.
    """
    passing = int(np.searchsorted(-descending, -threshold, side="right"))
    if weights is None:
        return passing / len(descending) if len(descending) else float("nan")
    total = float(weights.sum())
    return float(weights[:passing].sum()) / total if total > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class VerificationPairs:
    """Scored pairs, genuine and impostor ones, each sorted by score, highest first.

    Attributes:
        genuine_scores: (g,) float64; minus infinity where a face was not detected.
        genuine_people: (g,) int64, the person of the pair.
        impostor_scores: (i,) float64; minus infinity where a face was not detected.
        impostor_people: (i, 2) int64.
    """

    genuine_scores: np.ndarray
    genuine_people: np.ndarray
    impostor_scores: np.ndarray
    impostor_people: np.ndarray

    def true_accept_rate(self, threshold: float, weights: np.ndarray | None = None) -> float:
        """Compute the TAR at a threshold, with person weights (people,), 1 by default."""
        genuine_weights = None if weights is None else weights[self.genuine_people]
        return rate_at_threshold(self.genuine_scores, threshold, genuine_weights)

    def false_accept_rate(self, threshold: float, weights: np.ndarray | None = None) -> float:
        """Compute the FAR at a threshold, with person weights (people,), 1 by default."""
        return rate_at_threshold(self.impostor_scores, threshold, self._impostor_weights(weights))

    def tar_at_far(self, far: float, weights: np.ndarray | None = None) -> float:
        """Compute the TAR at the lowest threshold with a FAR of at most `far`.

        Returns:
            NaN without impostor pairs.
        """
        impostor_weights = self._impostor_weights(weights)
        total = len(self.impostor_scores) if impostor_weights is None else impostor_weights.sum()
        if total == 0:
            return float("nan")
        return self.true_accept_rate(threshold_at_rate(self.impostor_scores, far, impostor_weights), weights)

    def accuracy(self, threshold: float, weights: np.ndarray | None = None) -> float:
        """Compute the balanced accuracy at a threshold: the mean of TAR and 1 - FAR."""
        accepted = self.true_accept_rate(threshold, weights)
        return (accepted + 1 - self.false_accept_rate(threshold, weights)) / 2

    def best_threshold(self, *, balanced: bool = True) -> float:
        """Find the threshold with the highest accuracy on these pairs.

        Args:
            balanced: genuine and impostor pairs have the same total weight; otherwise each pair has the same weight.

        Returns:
            The midpoint between the lowest accepted score and the next lower one; of several best thresholds the
            lowest; infinity where no pair has a finite score.
        """
        candidates = np.unique(np.concatenate([self.genuine_scores, self.impostor_scores]))
        candidates = candidates[np.isfinite(candidates)]
        if len(candidates) == 0:
            return np.inf
        accepted = np.searchsorted(-self.genuine_scores, -candidates, side="right")
        false_accepts = np.searchsorted(-self.impostor_scores, -candidates, side="right")
        if balanced:
            gain = accepted / max(len(self.genuine_scores), 1) - false_accepts / max(len(self.impostor_scores), 1)
        else:
            gain = accepted - false_accepts
        best = int(np.argmax(gain))
        return float(candidates[max(0, best - 1) : best + 1].mean())

    def _impostor_weights(self, weights: np.ndarray | None) -> np.ndarray | None:
        if weights is None:
            return None
        return weights[self.impostor_people[:, 0]] * weights[self.impostor_people[:, 1]]


def score_pairs(embeddings: np.ndarray, people: np.ndarray, sources: np.ndarray, seed: int) -> VerificationPairs:
    """Score the genuine and impostor pairs of a set of faces.

    Args:
        embeddings: (n, d) L2-normalized rows; rows of NaN for undetected faces.
        people: (n,) int64, person of each face.
        sources: (n,) strings or numbers, source photo of each face; pairs within one photo are left out.
        seed: of the sampling of impostor pairs, where there are more than MAX_IMPOSTOR_PAIRS.
    """
    is_detected = np.isfinite(embeddings).all(1)
    genuine = _genuine_pairs(people)
    genuine = genuine[sources[genuine[:, 0]] != sources[genuine[:, 1]]]
    genuine_scores = np.full(len(genuine), -np.inf)
    both = is_detected[genuine].all(1)
    genuine_scores[both] = _inner_products(embeddings, genuine[both])
    impostors = _impostor_pairs(people, np.flatnonzero(is_detected), seed)
    impostors = impostors[sources[impostors[:, 0]] != sources[impostors[:, 1]]]
    impostor_scores = _inner_products(embeddings, impostors)
    genuine_order = np.argsort(-genuine_scores, kind="stable")
    impostor_order = np.argsort(-impostor_scores, kind="stable")
    return VerificationPairs(
        genuine_scores[genuine_order],
        people[genuine[genuine_order, 0]],
        impostor_scores[impostor_order],
        people[impostors[impostor_order]],
    )


def verification_metrics(
    pairs: VerificationPairs, threshold: float, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Compute the verification metrics of one split.

    Args:
        pairs: of the split.
        threshold: for `accuracy`; the best one on the pairs of other people.
        weights: (people,) weight of each person, 1 by default.
    """
    return {
        "accuracy": pairs.accuracy(threshold, weights),
        "tar_far1": pairs.tar_at_far(0.01, weights),
    }


FOLDS = 10


class FoldAccuracy(NamedTuple):
    """Mean accuracy over the folds, and its standard error."""

    mean: float
    standard_error: float


def fold_accuracy(scores: np.ndarray, same: np.ndarray) -> FoldAccuracy:
    """Compute the accuracy of each fold at the best threshold of the other nine (LFW).

    Args:
        scores: (n,) similarities of the pairs; NaN where a face was not detected.
        same: (n,) bool, the pair shows one person. The n-th tenth of the pairs of either kind, in their order, is the
            n-th fold.
    """
    folds = np.empty(len(scores), np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(same == kind)
        folds[rows] = np.arange(len(rows)) * FOLDS // max(len(rows), 1)
    accuracies = []
    for fold in range(FOLDS):
        is_test = folds == fold
        threshold = best_threshold(scores[~is_test], same[~is_test])
        accuracies.append(correct_pairs(scores[is_test], same[is_test], threshold).mean())
    return FoldAccuracy(float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(FOLDS)))


def correct_pairs(scores: np.ndarray, same: np.ndarray, threshold: float) -> np.ndarray:
    """Return the pairs (n,) bool that are classified correctly at a threshold."""
    is_correct: np.ndarray = np.isfinite(scores) & ((scores >= threshold) == same)
    return is_correct


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """Find the threshold that classifies most of the given pairs correctly."""
    return _labeled_pairs(scores, same).best_threshold(balanced=False)


def tar_at_far(scores: np.ndarray, same: np.ndarray, far: float) -> float:
    """Compute the TAR of given pairs at the lowest threshold with a FAR of at most `far`."""
    return _labeled_pairs(scores, same).tar_at_far(far)


def _labeled_pairs(scores: np.ndarray, same: np.ndarray) -> VerificationPairs:
    """Split given pairs into genuine and impostor pairs, without people."""
    rejected = np.nan_to_num(scores.astype(np.float64), nan=-np.inf)
    genuine, impostors = (np.sort(rejected[kind])[::-1] for kind in (same, ~same))
    return VerificationPairs(
        genuine, np.zeros(len(genuine), np.int64), impostors, np.zeros((len(impostors), 2), np.int64)
    )


def _genuine_pairs(people: np.ndarray) -> np.ndarray:
    """List all pairs (k, 2) of rows of the same person."""
    parts = [np.zeros((0, 2), np.int64)]
    for person in np.unique(people):
        rows = np.flatnonzero(people == person)
        parts.append(np.stack([rows[side] for side in np.triu_indices(len(rows), 1)], axis=1))
    return np.concatenate(parts)


def _impostor_pairs(people: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """List all pairs (k, 2) of `rows` of different people, or sample them."""
    if len(rows) * (len(rows) - 1) // 2 <= MAX_IMPOSTOR_PAIRS:
        pairs = np.stack([rows[side] for side in np.triu_indices(len(rows), 1)], axis=1)
    else:
        pairs = rows[np.random.default_rng(seed).integers(len(rows), size=(MAX_IMPOSTOR_PAIRS, 2))]
    return pairs[people[pairs[:, 0]] != people[pairs[:, 1]]]


def _inner_products(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    # In chunks, because both sides of all pairs at once take hundreds of megabytes.
    cuts = [*range(0, len(pairs), _CHUNK_SIZE), len(pairs)]
    parts = [
        np.einsum("nd,nd->n", embeddings[pairs[low:high, 0]], embeddings[pairs[low:high, 1]])
        for low, high in pairwise(cuts)
    ]
    return np.concatenate([np.zeros(0), *parts])
