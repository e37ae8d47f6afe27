import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from onelook.evaluation.bootstrap import paired_difference

figures = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6)


def test_three_repeats_by_hand() -> None:
    """Differences .01, .02, .03: their standard error is .01 / sqrt 3, Student's factor for two degrees 4.303."""
    mean, low, high = paired_difference([0.91, 0.92, 0.93], [0.90, 0.90, 0.90])
    assert mean == pytest.approx(0.02)
    assert low == pytest.approx(0.02 - 4.302653 * 0.01 / 3**0.5, abs=1e-6)
    assert high == pytest.approx(0.02 + 4.302653 * 0.01 / 3**0.5, abs=1e-6)


@given(figures)
def test_the_interval_is_scipys_of_the_paired_test(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = zip(*pairs, strict=True)
    found = paired_difference(ours, theirs)
    wanted = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    if found.low != found.high:
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
