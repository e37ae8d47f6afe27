"""Intervals over trainings and test data against hand-computed values and simulated studies."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from crossed_intervals import adjust_holm, estimate_mean


def test_without_variance_of_the_test_the_interval_is_students() -> None:
    values = np.array([0.80, 0.82, 0.87])
    estimate = estimate_mean(values, np.repeat(values[:, None], 50, axis=1))
    low, high = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert estimate.low == pytest.approx(low)
    assert estimate.high == pytest.approx(high)
    assert estimate.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_one_training_has_the_normal_interval_of_the_bootstrap() -> None:
    resampled = np.array([[0.1, 0.3, 0.2, 0.2]])
    estimate = estimate_mean(np.array([0.2]), resampled)
    half_width = 1.959964 * np.sqrt(0.02 / 3)  # squared deviations 0.01 + 0.01, divided by 4 - 1
    assert estimate.high - estimate.value == pytest.approx(half_width)


def test_the_variances_are_added_with_the_freedom_of_satterthwaite() -> None:
    # Variance over the trainings: 0.04 / 4 = 0.01; under resampling: 0.01. Freedom: 3 * (0.02 / 0.01) ** 2 = 12.
    values = 1 + np.array([-1, -1, 1, 1]) * np.sqrt(0.03)
    resampled = np.tile(values.mean() + np.array([-1, 1]) * np.sqrt(0.005), (4, 1))
    estimate = estimate_mean(values, resampled)
    assert estimate.high - estimate.value == pytest.approx(stats.t.ppf(0.975, 12) * np.sqrt(0.02))


def test_equal_networks_differ_by_nothing() -> None:
    assert estimate_mean(np.zeros(3), np.zeros((3, 10))) == (0, 0, 0, 1)


def test_the_interval_covers_the_truth_of_simulated_studies() -> None:
    # A training shifts all items by its seed, and an item is as hard for all trainings.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        outcomes = 0.3 + rng.normal(0, 0.5, (1, 60)) + rng.normal(0, 0.08, (3, 1)) + rng.normal(0, 0.3, (3, 60))
        weights = rng.multinomial(60, np.full(60, 1 / 60), 200) / 60
        estimate = estimate_mean(outcomes.mean(axis=1), outcomes @ weights.T)
        covered += estimate.low <= 0.3 <= estimate.high
    assert 0.93 <= covered / 400 <= 1


def test_holm_by_hand() -> None:
    # In order of size: 3 * .01, 2 * .02, 1 * .03, each at least the one before.
    assert adjust_holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert adjust_holm([0.6, 0.9]) == [1, 1]


def test_holm_refuses_a_value_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="not a number"):
        adjust_holm([0.1, float("nan")])
