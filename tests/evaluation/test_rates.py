"""Thresholds and shares, against counting by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onelook.evaluation.identification import share_at, threshold_at

scores_and_weights = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=30)


@given(scores_and_weights, st.floats(0, 1))
def test_the_threshold_keeps_the_rate_and_the_next_lower_score_would_not(
    drawn: list[tuple[int, int]], rate: float
) -> None:
    drawn = sorted(drawn, reverse=True)
    repeated = np.array([score / 8 for score, times in drawn for _ in range(times)])
    scores = np.array([score / 8 for score, _ in drawn])
    weights = np.array([float(times) for _, times in drawn])
    threshold = threshold_at(scores, rate, weights)
    assert (repeated >= threshold).sum() <= rate * len(repeated) + 1e-6
    below = repeated[repeated < threshold]
    if len(below):
        assert (repeated >= below.max()).sum() > rate * len(repeated)
    if len(repeated):
        assert share_at(scores, threshold, weights) == (repeated >= threshold).mean()
        assert threshold_at(repeated, rate) == threshold


def test_a_rate_that_is_a_whole_number_of_scores_is_used_up() -> None:
    scores = np.arange(100, 0, -1.0)
    # 0.29 * 100 is 28.999999999999996 in floating point.
    assert (scores >= threshold_at(scores, 0.29)).sum() == 29


def test_where_all_may_pass_a_missed_face_still_does_not() -> None:
    assert threshold_at(np.zeros(0), 0.1) > -np.inf
    assert share_at(np.array([0.3, -np.inf]), threshold_at(np.array([0.5]), 1.0)) == 0.5


def test_no_scores_have_no_share() -> None:
    assert np.isnan(share_at(np.zeros(0), 0.5))
    assert np.isnan(share_at(np.ones(2), 0.5, np.zeros(2)))
