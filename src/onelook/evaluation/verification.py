"""Verification: are two faces the same person?

All pairs of a split's probe faces that come from different source photos, by their end-to-end embeddings. A genuine
pair with a face that was not found counts as refused; an impostor pair with one is no pair, nothing could be accepted.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from onelook.evaluation.identification import share_at, threshold_at

MOST_IMPOSTORS = 300_000
"""Of more impostor pairs than this so many are drawn, with replacement: enough for one in a thousand to be many."""
_CHUNK = 50_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scored pairs, each kind by score, highest first.

    Attributes:
        genuine_scores: (g,) float64; minus infinity where a face was not found.
        genuine_people: (g,) int64, whose pair it is.
        impostor_scores: (i,) float64.
        impostor_people: (i, 2) int64.
    """

    genuine_scores: np.ndarray
    genuine_people: np.ndarray
    impostor_scores: np.ndarray
    impostor_people: np.ndarray

    def true_accept_rate(self, threshold: float, weights: np.ndarray | None = None) -> float:
        """The share of genuine pairs that reach the threshold, each person counted `weights` (people,) times."""
        return share_at(self.genuine_scores, threshold, None if weights is None else weights[self.genuine_people])

    def false_accept_rate(self, threshold: float, weights: np.ndarray | None = None) -> float:
        """The share of impostor pairs that reach the threshold, each person counted `weights` (people,) times."""
        return share_at(self.impostor_scores, threshold, self._impostor_weights(weights))

    def tar_at_far(self, far: float, weights: np.ndarray | None = None) -> float:
        """The true-accept rate where at most `far` of the impostor pairs are accepted; NaN where none counts."""
        impostor_weights = self._impostor_weights(weights)
        counted = len(self.impostor_scores) if impostor_weights is None else impostor_weights.sum()
        if counted == 0:
            return float("nan")
        return self.true_accept_rate(threshold_at(self.impostor_scores, far, impostor_weights), weights)

    def accuracy(self, threshold: float, weights: np.ndarray | None = None) -> float:
        """The share of right answers at a threshold, genuine and impostor pairs weighing the same in all, as in LFW."""
        accepted = self.true_accept_rate(threshold, weights)
        return (accepted + 1 - self.false_accept_rate(threshold, weights)) / 2

    def best_threshold(self) -> float:
        """The threshold with the best accuracy on these pairs: for use on other people's."""
        candidates = np.unique(np.concatenate([self.genuine_scores, self.impostor_scores]))
        candidates = candidates[np.isfinite(candidates)]
        accepted = np.searchsorted(-self.genuine_scores, -candidates, side="right") / max(len(self.genuine_scores), 1)
        wrong = np.searchsorted(-self.impostor_scores, -candidates, side="right") / max(len(self.impostor_scores), 1)
        return float(candidates[np.argmax(accepted - wrong)]) if len(candidates) else np.inf

    def _impostor_weights(self, weights: np.ndarray | None) -> np.ndarray | None:
        if weights is None:
            return None
        return weights[self.impostor_people[:, 0]] * weights[self.impostor_people[:, 1]]


def make_pairs(embeddings: np.ndarray, people: np.ndarray, sources: np.ndarray, seed: int) -> Pairs:
    """Score the pairs of a set of faces.

    Args:
        embeddings: (n, d) L2-normalized rows; rows of NaN for faces not found.
        people: (n,) int64, who each is.
        sources: (n,) strings or numbers, the photo each comes from; pairs within one photo are left out.
        seed: of the draw of impostor pairs, where there are more than MOST_IMPOSTORS.
    """
    found = np.isfinite(embeddings).all(1)
    genuine = _genuine(people)
    genuine = genuine[sources[genuine[:, 0]] != sources[genuine[:, 1]]]
    genuine_scores = np.full(len(genuine), -np.inf)
    both = found[genuine].all(1)
    genuine_scores[both] = _inner_products(embeddings, genuine[both])
    impostors = _impostors(people, np.flatnonzero(found), seed)
    impostors = impostors[sources[impostors[:, 0]] != sources[impostors[:, 1]]]
    impostor_scores = _inner_products(embeddings, impostors)
    first, second = np.argsort(-genuine_scores, kind="stable"), np.argsort(-impostor_scores, kind="stable")
    return Pairs(genuine_scores[first], people[genuine[first, 0]], impostor_scores[second], people[impostors[second]])


def verification_figures(pairs: Pairs, threshold: float, weights: np.ndarray | None = None) -> dict[str, float]:
    """The headline figures.

    Args:
        pairs: of one split.
        threshold: for `accuracy`; the best one on other people's pairs.
        weights: (people,) how often each person counts, once by default.
    """
    return {
        "accuracy": pairs.accuracy(threshold, weights),
        "tar_far1": pairs.tar_at_far(0.01, weights),
    }


def _genuine(people: np.ndarray) -> np.ndarray:
    """All pairs (k, 2) of rows of the same person."""
    parts = [np.zeros((0, 2), np.int64)]
    for person in np.unique(people):
        rows = np.flatnonzero(people == person)
        parts.append(np.stack([rows[side] for side in np.triu_indices(len(rows), 1)], axis=1))
    return np.concatenate(parts)


def _impostors(people: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """All pairs (k, 2) of `rows` of different people, or a draw of them."""
    if len(rows) * (len(rows) - 1) // 2 <= MOST_IMPOSTORS:
        pairs = np.stack([rows[side] for side in np.triu_indices(len(rows), 1)], axis=1)
    else:
        pairs = rows[np.random.default_rng(seed).integers(len(rows), size=(MOST_IMPOSTORS, 2))]
    return pairs[people[pairs[:, 0]] != people[pairs[:, 1]]]


def _inner_products(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    # In chunks: both sides of all pairs at once would be hundreds of megabytes.
    cuts = [*range(0, len(pairs), _CHUNK), len(pairs)]
    parts = [
        np.einsum("nd,nd->n", embeddings[pairs[low:high, 0]], embeddings[pairs[low:high, 1]])
        for low, high in pairwise(cuts)
    ]
    return np.concatenate([np.zeros(0), *parts])
