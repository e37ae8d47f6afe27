import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.evaluation.verification import best_threshold, correct_pairs, fold_accuracy, tar_at_far


def test_separable_pairs_have_full_accuracy() -> None:
    same = np.repeat([True, False], 50)
    scores = np.where(same, 0.8, 0.2) + np.linspace(0, 0.1, 100)
    assert fold_accuracy(scores, same) == (1.0, 0.0)


def test_each_fold_uses_the_threshold_of_the_others() -> None:
    # The genuine pairs of fold 3 lie below the threshold of the other folds.
    same = np.tile([True, False], 100)
    scores = np.where(same, 0.8, 0.2).astype(float)
    fold = np.arange(200) // 20
    scores[(fold == 3) & same] = 0.1
    mean, error = fold_accuracy(scores, same)
    assert mean == pytest.approx(0.95)
    assert error == pytest.approx(np.std([1] * 9 + [0.5], ddof=1) / np.sqrt(10))


def test_a_pair_with_an_undetected_face_is_wrong() -> None:
    scores, same = np.array([0.9, np.nan, 0.1, np.nan]), np.array([True, True, False, False])
    assert correct_pairs(scores, same, 0.5).tolist() == [True, False, True, False]
    assert tar_at_far(scores, same, 0.0) == 0.5


scored = st.lists(st.tuples(st.integers(0, 9) | st.none(), st.booleans()), min_size=1, max_size=40)


@given(scored)
def test_no_candidate_beats_the_best_threshold(pairs: list[tuple[int | None, bool]]) -> None:
    scores = np.array([np.nan if score is None else score for score, _ in pairs], np.float64)
    same = np.array([kind for _, kind in pairs])
    best = correct_pairs(scores, same, best_threshold(scores, same)).sum()
    # Rejecting all pairs is no candidate: thresholds are scores of pairs.
    candidates = [correct_pairs(scores, same, threshold).sum() for threshold in scores[np.isfinite(scores)]]
    assert best == max(candidates, default=0)


@given(scored, st.floats(0, 1))
def test_tar_at_far_is_the_highest_tar_within_the_far(pairs: list[tuple[int | None, bool]], far: float) -> None:
    scores = np.array([np.nan if score is None else score for score, _ in pairs], np.float64)
    same = np.array([kind for _, kind in pairs])
    if not same.any() or same.all():
        return
    finite = np.nan_to_num(scores, nan=-np.inf)
    rates = [
        (np.mean(finite[same] >= t), np.mean((finite[~same] >= t) & np.isfinite(finite[~same])))
        for t in [*scores[np.isfinite(scores)], np.inf]
    ]
    assert tar_at_far(scores, same, far) == max(tar for tar, false in rates if false <= far + 1e-9)
