"""Confidence against how often names are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from onelook.evaluation.reliability import reliability, wilson


def test_by_hand() -> None:
    bins = reliability(
        np.array([0.05, 0.91, 0.99, 1.0, 0.93]), np.array([False, True, True, True, False]), np.array([2.0, 1, 1, 1, 1])
    )
    np.testing.assert_allclose(bins.confidence, [0.05, (0.91 + 0.99 + 1 + 0.93) / 4])
    np.testing.assert_allclose(bins.right, [0, 0.75])
    np.testing.assert_allclose(bins.share, [1 / 3, 2 / 3])
    assert bins.error() == pytest.approx(0.05 / 3 + 2 * (0.9575 - 0.75) / 3)


@given(st.integers(1, 500), st.data())
def test_the_interval_is_scipys(count: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, count))
    low, high = wilson(np.array([successes / count]), np.array([count]))
    expected = binomtest(successes, count).proportion_ci(method="wilson")
    np.testing.assert_allclose([low[0], high[0]], expected, atol=1e-6)


def test_calibrated_confidences_lie_on_the_diagonal_and_bold_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    right = rng.random(20_000) < confidence
    bins = reliability(confidence, right, np.ones(20_000))
    assert bins.error() < 0.015
    assert ((bins.low <= bins.confidence) & (bins.confidence <= bins.high)).sum() >= 8
    assert reliability(np.sqrt(confidence), right, np.ones(20_000)).error() > 0.1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0.1, 10)), min_size=1, max_size=60))
def test_bins_hold_everything_and_shares_lie_in_their_intervals(rows: list[tuple[float, bool, float]]) -> None:
    bins = reliability(*(np.array(column) for column in zip(*rows, strict=True)))
    assert bins.share.sum() == pytest.approx(1)
    assert ((bins.low <= bins.right) & (bins.right <= bins.high)).all()
    assert 0 <= bins.error() <= 1
