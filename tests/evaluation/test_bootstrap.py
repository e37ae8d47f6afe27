import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from onelook.evaluation.bootstrap import bootstrap_intervals, paired_difference


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    result = bootstrap_intervals(lambda weights: {"mean": float(weights @ values / weights.sum())}, (400,), 2000, 1)
    half = 1.96 * values.std() / np.sqrt(400)
    assert result["mean"] == pytest.approx(values.mean())
    assert result["mean_low"] == pytest.approx(values.mean() - half, abs=0.03)
    assert result["mean_high"] == pytest.approx(values.mean() + half, abs=0.03)


def test_repeated_data_of_a_unit_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(0, 1, 30)

    def width(times: int) -> float:
        units, repeated = np.repeat(np.arange(30), times), np.repeat(values, times)
        result = bootstrap_intervals(
            lambda weights: {"mean": float(weights[units] @ repeated / weights[units].sum())}, (30,), 500, 3
        )
        return result["mean_high"] - result["mean_low"]

    assert width(50) == pytest.approx(width(1))


def test_strata_keep_their_sizes_and_equal_seeds_give_equal_intervals() -> None:
    drawn: list[np.ndarray] = []

    def metrics(weights: np.ndarray) -> dict[str, float]:
        drawn.append(weights)
        return {"first": float(weights[0])}

    first = bootstrap_intervals(metrics, (3, 0, 5), 100, 7)
    assert {(weights[:3].sum(), weights[3:].sum()) for weights in drawn} == {(3.0, 5.0)}
    assert len({tuple(weights) for weights in drawn}) > 50
    assert bootstrap_intervals(metrics, (3, 0, 5), 100, 7) == first


def test_undefined_metrics_are_left_out() -> None:
    result = bootstrap_intervals(
        lambda weights: {"never": float("nan"), "mostly": 1.0 if weights[0] else float("nan")}, (2,), 100, 0
    )
    assert result == {"mostly": 1.0, "mostly_low": 1.0, "mostly_high": 1.0}


repeats = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6)


def test_paired_interval_of_three_repeats_by_hand() -> None:
    # The standard error of .01, .02, .03 is .01 / sqrt 3; Student's factor for two degrees of freedom is 4.303.
    mean, low, high = paired_difference([0.91, 0.92, 0.93], [0.90, 0.90, 0.90])
    assert mean == pytest.approx(0.02)
    assert low == pytest.approx(0.02 - 4.302653 * 0.01 / 3**0.5, abs=1e-6)
    assert high == pytest.approx(0.02 + 4.302653 * 0.01 / 3**0.5, abs=1e-6)


@given(repeats)
def test_the_paired_interval_equals_scipy(pairs: list[tuple[float, float]]) -> None:
    metric, baseline = zip(*pairs, strict=True)
    interval = paired_difference(metric, baseline)
    expected = stats.ttest_rel(metric, baseline).confidence_interval(0.95)
    if interval.low != interval.high:
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
