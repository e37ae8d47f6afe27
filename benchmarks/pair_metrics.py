"""Verification metrics of given pairs and of all impostor pairs, with bootstrap intervals over the people."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from onelook.evaluation.bootstrap import bootstrap_intervals
from onelook.evaluation.verification import (
    FOLDS,
    VerificationPairs,
    best_threshold,
    correct_pairs,
    threshold_at_rate,
)

RESAMPLES, SEED = 300, 2026


class Metric(NamedTuple):
    """A value with the limits of its 95 % interval."""

    value: float
    low: float
    high: float


class Pairs(NamedTuple):
    """Pairs of photos.

    Attributes:
        photos: (n, 2) int64, rows of the photos.
        same: (n,) bool, both show one person.
        folds: (n,) int64, fold of each pair.
        people: (n, 2) int64 in 0..p-1, person of each photo.
    """

    photos: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    people: np.ndarray


def score_given(embeddings: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return the similarities (n,) of pairs; NaN where a face was not found."""
    return np.einsum("nd,nd->n", embeddings[pairs.photos[:, 0]], embeddings[pairs.photos[:, 1]]).astype(np.float64)


def assign_ten_folds(same: np.ndarray) -> np.ndarray:
    """Return the fold (n,) of each pair: the n-th tenth of the pairs of either kind, in their order."""
    folds = np.empty(len(same), np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(same == kind)
        folds[rows] = np.arange(len(rows)) * FOLDS // max(len(rows), 1)
    return folds


def correct_by_fold(scores: np.ndarray, same: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return the pairs (n,) bool classified correctly at the best threshold of the other folds.

    A pair with a face that was not found is wrong.
    """
    is_correct = np.zeros(len(scores), bool)
    for fold in np.unique(folds):
        is_test = folds == fold
        threshold = best_threshold(scores[~is_test], same[~is_test])
        is_correct[is_test] = correct_pairs(scores[is_test], same[is_test], threshold)
    return is_correct


def measure_given(scores: np.ndarray, pairs: Pairs) -> dict[str, Metric]:
    """Compute accuracy, and TAR at 1 % and 0.1 % FAR of the same pairs, by name.

    Args:
        scores: (n,) similarities; NaN where a face was not found: a wrong answer and a rejected pair.
        pairs: the pairs.
    """
    is_correct = correct_by_fold(scores, pairs.same, pairs.folds)
    verification = to_verification_pairs(scores, pairs)

    def metrics(weights: np.ndarray) -> dict[str, float]:
        of_pair = _pair_weights(weights, pairs)
        return {
            "accuracy": float(of_pair @ is_correct / of_pair.sum()) if of_pair.any() else np.nan,
            "TAR at 1 % FAR": verification.tar_at_far(0.01, weights),
            "TAR at 0.1 % FAR": verification.tar_at_far(0.001, weights),
        }

    return with_intervals(metrics, 1 + int(pairs.people.max()))


def accuracy_difference(scores: np.ndarray, baseline: np.ndarray, pairs: Pairs) -> Metric:
    """Compute the difference of the accuracies of two kinds of scores (n,) of the same pairs, as `measure_given`."""
    is_correct, is_baseline_correct = (correct_by_fold(each, pairs.same, pairs.folds) for each in (scores, baseline))
    gains = is_correct.astype(np.float64) - is_baseline_correct

    def metrics(weights: np.ndarray) -> dict[str, float]:
        of_pair = _pair_weights(weights, pairs)
        return {"accuracy": float(of_pair @ gains / of_pair.sum()) if of_pair.any() else np.nan}

    return with_intervals(metrics, 1 + int(pairs.people.max()))["accuracy"]


def to_verification_pairs(scores: np.ndarray, pairs: Pairs) -> VerificationPairs:
    """Sort scored pairs into genuine and impostor pairs; NaN becomes minus infinity."""
    rejected = np.nan_to_num(scores, nan=-np.inf)
    order = np.argsort(-rejected, kind="stable")
    genuine, impostors = (order[pairs.same[order] == kind] for kind in (True, False))
    return VerificationPairs(rejected[genuine], pairs.people[genuine, 0], rejected[impostors], pairs.people[impostors])


def impostor_threshold(embeddings: np.ndarray, people: np.ndarray, far: float) -> float:
    """Return the lowest threshold that at most a fraction `far` of all impostor pairs reaches.

    Args:
        embeddings: (n, d), NaN where a face was not found; pairs with such a face are left out.
        people: (n,) int64.
        far: false-accept rate.
    """
    return threshold_at_rate(impostor_scores(embeddings, people), far)


def impostor_scores(embeddings: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the similarities (k,) float64 of all pairs of found faces of different people, highest first."""
    similarities, is_pair = impostor_matrix(embeddings, people)
    return np.sort(similarities[np.triu(is_pair)].astype(np.float64))[::-1]


def impostor_matrix(embeddings: np.ndarray, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities (n, n) and the pairs (n, n) bool of found faces of different people."""
    is_found = np.isfinite(embeddings).all(axis=1)
    known = np.where(is_found[:, None], embeddings, 0)
    return known @ known.T, (people[:, None] != people) & is_found[:, None] & is_found


def accepted_impostors(similarities: np.ndarray, is_pair: np.ndarray, people: np.ndarray, threshold: float) -> Metric:
    """Compute the fraction of impostor pairs (n, n) that reaches a threshold, over people (n,) int64 in 0..p-1."""
    pairs = is_pair.astype(np.float32)
    accepted = (is_pair & (similarities >= threshold)).astype(np.float32)

    def metrics(weights: np.ndarray) -> dict[str, float]:
        of_photo = weights[people].astype(np.float32)
        total = float(of_photo @ pairs @ of_photo)
        return {"far": float(of_photo @ accepted @ of_photo) / total if total else np.nan}

    return with_intervals(metrics, 1 + int(people.max()))["far"]


def with_intervals(metrics: Callable[[np.ndarray], dict[str, float]], people: int) -> dict[str, Metric]:
    """Return the metrics of weights (people,) by name, with bootstrap intervals; NaN where one is undefined."""
    known = bootstrap_intervals(metrics, (people,), RESAMPLES, SEED)
    names = metrics(np.ones(people))
    return {
        name: Metric(*(known.get(name + suffix, float("nan")) for suffix in ("", "_low", "_high"))) for name in names
    }


def _pair_weights(weights: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return the weights (n,) of pairs by those of the people (p,)."""
    of_person = weights[pairs.people]
    of_pair: np.ndarray = np.where(pairs.same, of_person[:, 0], of_person.prod(axis=1))
    return of_pair
