"""Verification metrics against values computed by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from pair_metrics import (
    Pairs,
    accepted_impostors,
    accuracy_difference,
    assign_ten_folds,
    correct_by_fold,
    impostor_matrix,
    impostor_scores,
    impostor_threshold,
    measure_given,
)


def make_pairs(same: list[bool], folds: list[int]) -> Pairs:
    """Return pairs of different people, two to a pair."""
    count = len(same)
    people = np.arange(2 * count).reshape(count, 2)
    people[same] = people[same][:, :1]
    return Pairs(np.arange(2 * count).reshape(count, 2), np.array(same), np.array(folds), people)


def test_each_fold_has_the_threshold_of_the_other() -> None:
    # Best threshold of fold 1: between 0.6 and 0.5; of fold 2: between 0.3 and 0.2.
    scores = np.array([0.8, 0.6, 0.5, 0.1, 0.7, 0.3, 0.2, 0.0])
    same = np.array([True, True, False, False] * 2)
    folds = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    expected = [True, True, False, True, True, False, True, True]
    np.testing.assert_array_equal(correct_by_fold(scores, same, folds), expected)


def test_a_missing_face_is_wrong_for_both_kinds_and_rejected() -> None:
    scores = np.array([0.9, np.nan, 0.1, np.nan] * 2)
    pairs = make_pairs([True, True, False, False] * 2, [0] * 4 + [1] * 4)
    metrics = measure_given(scores, pairs)
    assert metrics["accuracy"].value == 0.5
    assert metrics["TAR at 1 % FAR"].value == 0.5  # the threshold lies above 0.1


def test_tar_at_far_counts_the_given_impostor_pairs() -> None:
    genuine = np.linspace(0.5, 1, 100)
    impostors = np.concatenate([np.linspace(0, 0.4, 198), [0.7, 0.8]])
    pairs = make_pairs([True] * 100 + [False] * 200, [0, 1] * 150)
    metrics = measure_given(np.concatenate([genuine, impostors]), pairs)
    assert metrics["TAR at 1 % FAR"].value == 1  # two of 200 may pass
    assert metrics["TAR at 0.1 % FAR"].value == pytest.approx((genuine > 0.8).mean())
    assert metrics["TAR at 0.1 % FAR"].low <= metrics["TAR at 0.1 % FAR"].value <= metrics["TAR at 0.1 % FAR"].high


def test_the_interval_resamples_people_not_pairs() -> None:
    # All pairs of person 0 are right and those of person 1 wrong: resamples of the two people give 0, 1/2 or 1.
    same, folds = np.ones(20, bool), np.array([0, 1] * 10)
    people = np.repeat([[0, 0], [1, 1]], 10, axis=0)
    scores = np.where(people[:, 0] == 0, 0.9, np.nan)
    accuracy = measure_given(scores, Pairs(people, same, folds, people))["accuracy"]
    assert accuracy == (0.5, 0, 1)


def test_a_difference_of_accuracies_is_paired() -> None:
    # Person 0 has one more right pair of four, person 1 none: the gain is 1/8, in resamples 0, 1/8 or 1/4.
    same, folds = np.ones(8, bool), np.array([0, 1] * 4)
    people = np.repeat([[0, 0], [1, 1]], 4, axis=0)
    scores = np.array([0.9] * 7 + [np.nan])
    baseline = np.array([0.9] * 3 + [np.nan] + [0.9] * 3 + [np.nan])
    pairs = Pairs(people, same, folds, people)
    assert accuracy_difference(scores, baseline, pairs) == (0.125, 0, 0.25)
    assert accuracy_difference(scores, scores, pairs) == (0, 0, 0)


def test_ten_folds_are_tenths_of_either_kind() -> None:
    same = np.array([True] * 20 + [False] * 10)
    np.testing.assert_array_equal(assign_ten_folds(same), [*np.repeat(range(10), 2), *range(10)])


def test_impostor_pairs_are_those_of_different_found_people() -> None:
    angles = np.radians([0, 10, 60, 90, np.nan])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    people = np.array([0, 0, 1, 2, 3])
    pairs = np.cos(np.radians([30, 50, 60, 80, 90]))  # 30: photos 2 and 3; not 10: photos 0 and 1
    np.testing.assert_allclose(impostor_scores(embeddings, people), pairs, atol=1e-6)
    threshold = impostor_threshold(embeddings, people, 0.4)
    assert pairs[2] < threshold <= pairs[1]
    far = accepted_impostors(*impostor_matrix(embeddings, people), people, threshold)
    assert far.value == pytest.approx(0.4) and 0 <= far.low <= far.high <= 1
