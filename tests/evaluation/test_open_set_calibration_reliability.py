import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from onelook.evaluation.open_set_calibration import bin_by_confidence, wilson_interval


def test_reliability_diagram_by_hand() -> None:
    diagram = bin_by_confidence(
        np.array([0.05, 0.91, 0.99, 1.0, 0.93]), np.array([False, True, True, True, False]), np.array([2.0, 1, 1, 1, 1])
    )
    np.testing.assert_allclose(diagram.confidence, [0.05, (0.91 + 0.99 + 1 + 0.93) / 4])
    np.testing.assert_allclose(diagram.accuracy, [0, 0.75])
    np.testing.assert_allclose(diagram.weight, [1 / 3, 2 / 3])
    assert diagram.expected_calibration_error() == pytest.approx(0.05 / 3 + 2 * (0.9575 - 0.75) / 3)


@given(st.integers(1, 500), st.data())
def test_the_wilson_interval_equals_scipy(count: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, count))
    low, high = wilson_interval(np.array([successes / count]), np.array([count]))
    expected = binomtest(successes, count).proportion_ci(method="wilson")
    np.testing.assert_allclose([low[0], high[0]], expected, atol=1e-6)


def test_calibrated_confidences_have_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    is_correct = rng.random(20_000) < confidence
    diagram = bin_by_confidence(confidence, is_correct, np.ones(20_000))
    assert diagram.expected_calibration_error() < 0.015
    assert ((diagram.low <= diagram.confidence) & (diagram.confidence <= diagram.high)).sum() >= 8
    assert bin_by_confidence(np.sqrt(confidence), is_correct, np.ones(20_000)).expected_calibration_error() > 0.1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0.1, 10)), min_size=1, max_size=60))
def test_bin_weights_sum_to_one_and_accuracies_lie_in_their_intervals(rows: list[tuple[float, bool, float]]) -> None:
    diagram = bin_by_confidence(*(np.array(column) for column in zip(*rows, strict=True)))
    assert diagram.weight.sum() == pytest.approx(1)
    assert ((diagram.low <= diagram.accuracy) & (diagram.accuracy <= diagram.high)).all()
    assert 0 <= diagram.expected_calibration_error() <= 1
