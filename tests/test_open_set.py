"""Thresholds and confidences for galleries of any size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm

from onelook.open_set import ImpostorModel, round_up

LAW = ImpostorModel(mean=0.02, deviation=0.1, intercept=-1.0, slope=0.5)


def test_by_hand() -> None:
    assert LAW.fpir(0.02, 1) == pytest.approx(0.5)  # the mean: half of all strangers reach it
    assert LAW.fpir(0.02, 3) == pytest.approx(1 - 0.5**3)
    assert LAW.threshold(0.1, 1) == 0.1482  # 0.02 + 0.1 * 1.28155, the upper tenth of a normal law
    assert LAW.threshold(0.19, 2) == 0.1482  # 1 - (1 - 0.1)^2
    assert LAW.threshold(0.1, 0) == LAW.threshold(0.1, 1)
    assert LAW.confidence(np.array([0.02]), 2)[0] == pytest.approx(1 / (1 + np.e))  # one stranger is expected there


people = st.integers(1, 5_000_000)


@given(people, st.floats(1e-6, 0.5))
def test_the_threshold_keeps_its_promise_and_wastes_less_than_a_rounding_step(size: int, target: float) -> None:
    threshold = LAW.threshold(target, size)
    assert LAW.fpir(threshold, size) <= target * (1 + 1e-9)
    assert LAW.fpir(threshold - 1.1e-4, size) > target * (1 - 1e-9)


@given(people, people, st.floats(-1, 1))
def test_more_people_mean_more_false_names_and_less_confidence(one: int, other: int, similarity: float) -> None:
    few, many = sorted((one, other))
    assert LAW.fpir(similarity, few) <= LAW.fpir(similarity, many) + 1e-12
    assert LAW.threshold(0.01, few) <= LAW.threshold(0.01, many)
    sure, less = (LAW.confidence(np.array([similarity]), size)[0] for size in (few, many))
    assert sure >= less
    odds = np.log(sure / (1 - sure)) - np.log(less / (1 - less))
    assert odds == pytest.approx(0.5 * np.log(many / few), abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), people)
def test_a_higher_similarity_is_no_less_sure(similarities: list[float], size: int) -> None:
    sure = LAW.confidence(np.sort(similarities), size)
    assert (np.diff(sure) >= 0).all()
    assert ((sure >= 0) & (sure <= 1)).all()


def test_a_similarity_that_no_stranger_reaches_is_a_number() -> None:
    far = ImpostorModel(mean=0.0, deviation=0.01, intercept=0.0, slope=1.0)
    assert far.expected(np.array([0.05]), 100)[0] == pytest.approx(np.log(100) + norm.logsf(5))
    assert far.confidence(np.array([1.0, -1.0]), 10) == pytest.approx([1, 0.0909], abs=1e-3)
    assert far.fpir(1.0, 1_000_000) == 0
    assert far.fpir(-1.0, 10) == 1


@given(st.floats(-1, 1))
def test_rounded_up_to_four_decimals(value: float) -> None:
    rounded = round_up(value)
    assert value < rounded <= value + 1.000001e-4
    assert rounded == round(rounded, 4)


@pytest.mark.parametrize("change", [{"std": 0.0}, {"slope": -0.1}, {"mean": float("nan")}, {"extra": 1}])
def test_an_impossible_law_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ImpostorModel.model_validate(LAW.model_dump() | change)
