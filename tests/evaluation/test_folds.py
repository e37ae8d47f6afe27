import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.evaluation.folds import best_threshold, fold_accuracy, right, tar_at_far


def test_pairs_that_a_threshold_parts_are_all_right() -> None:
    same = np.repeat([True, False], 50)
    scores = np.where(same, 0.8, 0.2) + np.linspace(0, 0.1, 100)
    assert fold_accuracy(scores, same) == (1.0, 0.0)


def test_each_fold_is_judged_by_the_threshold_of_the_others() -> None:
    """One fold's pairs lie elsewhere: at the others' threshold all its genuine pairs are refused."""
    same = np.tile([True, False], 100)
    scores = np.where(same, 0.8, 0.2).astype(float)
    fold = np.arange(200) // 20
    scores[(fold == 3) & same] = 0.1
    mean, error = fold_accuracy(scores, same)
    assert mean == pytest.approx(0.95)
    assert error == pytest.approx(np.std([1] * 9 + [0.5], ddof=1) / np.sqrt(10))


def test_a_missed_face_is_a_wrong_answer_of_either_kind() -> None:
    scores, same = np.array([0.9, np.nan, 0.1, np.nan]), np.array([True, True, False, False])
    assert right(scores, same, 0.5).tolist() == [True, False, True, False]
    assert tar_at_far(scores, same, 0.0) == 0.5


scored = st.lists(st.tuples(st.integers(0, 9) | st.none(), st.booleans()), min_size=1, max_size=40)


@given(scored)
def test_the_best_threshold_is_the_best_of_all(pairs: list[tuple[int | None, bool]]) -> None:
    scores = np.array([np.nan if score is None else score for score, _ in pairs], np.float64)
    same = np.array([kind for _, kind in pairs])
    found = right(scores, same, best_threshold(scores, same)).sum()
    # Refusing everybody is no candidate: a threshold is a score that was seen.
    tried = [right(scores, same, threshold).sum() for threshold in scores[np.isfinite(scores)]]
    assert found == max(tried, default=0)


@given(scored, st.floats(0, 1))
def test_no_threshold_within_the_far_accepts_more(pairs: list[tuple[int | None, bool]], far: float) -> None:
    scores = np.array([np.nan if score is None else score for score, _ in pairs], np.float64)
    same = np.array([kind for _, kind in pairs])
    if not same.any() or same.all():
        return
    found = np.nan_to_num(scores, nan=-np.inf)
    rates = [
        (np.mean(found[same] >= t), np.mean((found[~same] >= t) & np.isfinite(found[~same])))
        for t in [*scores[np.isfinite(scores)], np.inf]
    ]
    assert tar_at_far(scores, same, far) == max(tar for tar, false in rates if false <= far + 1e-9)
