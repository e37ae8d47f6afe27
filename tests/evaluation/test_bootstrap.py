"""Bootstrap intervals against theory."""

import numpy as np
import pytest

from onelook.evaluation.bootstrap import with_intervals


def test_the_interval_of_a_mean_is_the_one_theory_gives() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    result = with_intervals(lambda weights: {"mean": float(weights @ values / weights.sum())}, (400,), 2000, 1)
    half = 1.96 * values.std() / np.sqrt(400)
    assert result["mean"] == pytest.approx(values.mean())
    assert result["mean_low"] == pytest.approx(values.mean() - half, abs=0.03)
    assert result["mean_high"] == pytest.approx(values.mean() + half, abs=0.03)


def test_more_witnesses_of_the_same_unit_do_not_narrow_it() -> None:
    values = np.random.default_rng(0).normal(0, 1, 30)

    def width(times: int) -> float:
        owners, repeated = np.repeat(np.arange(30), times), np.repeat(values, times)
        result = with_intervals(
            lambda weights: {"mean": float(weights[owners] @ repeated / weights[owners].sum())}, (30,), 500, 3
        )
        return result["mean_high"] - result["mean_low"]

    assert width(50) == pytest.approx(width(1))


def test_each_stratum_keeps_its_size_and_the_seed_decides() -> None:
    seen: list[np.ndarray] = []

    def figures(weights: np.ndarray) -> dict[str, float]:
        seen.append(weights)
        return {"first": float(weights[0])}

    first = with_intervals(figures, (3, 0, 5), 100, 7)
    assert {(weights[:3].sum(), weights[3:].sum()) for weights in seen} == {(3.0, 5.0)}
    assert len({tuple(weights) for weights in seen}) > 50
    assert with_intervals(figures, (3, 0, 5), 100, 7) == first


def test_figures_without_meaning_are_left_out() -> None:
    result = with_intervals(
        lambda weights: {"never": float("nan"), "mostly": 1.0 if weights[0] else float("nan")}, (2,), 100, 0
    )
    assert result == {"mostly": 1.0, "mostly_low": 1.0, "mostly_high": 1.0}
