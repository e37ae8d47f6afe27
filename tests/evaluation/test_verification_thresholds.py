import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onelook.evaluation.verification import rate_at_threshold, threshold_at_rate

scores_and_weights = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=30)


@given(scores_and_weights, st.floats(0, 1))
def test_the_threshold_is_the_lowest_within_the_rate(drawn: list[tuple[int, int]], rate: float) -> None:
    drawn = sorted(drawn, reverse=True)
    repeated = np.array([score / 8 for score, times in drawn for _ in range(times)])
    scores = np.array([score / 8 for score, _ in drawn])
    weights = np.array([float(times) for _, times in drawn])
    threshold = threshold_at_rate(scores, rate, weights)
    assert (repeated >= threshold).sum() <= rate * len(repeated) + 1e-6
    below = repeated[repeated < threshold]
    if len(below):
        assert (repeated >= below.max()).sum() > rate * len(repeated)
    if len(repeated):
        assert rate_at_threshold(scores, threshold, weights) == (repeated >= threshold).mean()
        assert threshold_at_rate(repeated, rate) == threshold


def test_a_rate_of_a_whole_number_of_scores_is_used_up() -> None:
    scores = np.arange(100, 0, -1.0)
    # 0.29 * 100 is 28.999999999999996 in floating point.
    assert (scores >= threshold_at_rate(scores, 0.29)).sum() == 29


def test_an_undetected_face_passes_no_threshold() -> None:
    assert threshold_at_rate(np.zeros(0), 0.1) > -np.inf
    assert rate_at_threshold(np.array([0.3, -np.inf]), threshold_at_rate(np.array([0.5]), 1.0)) == 0.5


def test_the_rate_without_scores_is_nan() -> None:
    assert np.isnan(rate_at_threshold(np.zeros(0), 0.5))
    assert np.isnan(rate_at_threshold(np.ones(2), 0.5, np.zeros(2)))
