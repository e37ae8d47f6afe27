import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import norm

from onelook.open_set import ImpostorModel, round_up

MODEL = ImpostorModel(mean=0.02, std=0.1, intercept=-1.0, slope=0.5)


def test_fpir_threshold_and_confidence_by_hand() -> None:
    assert MODEL.fpir(0.02, 1) == pytest.approx(0.5)  # half of all impostors reach the mean
    assert MODEL.fpir(0.02, 3) == pytest.approx(1 - 0.5**3)
    assert MODEL.threshold(0.1, 1) == 0.1482  # 0.02 + 0.1 * 1.28155, the upper tenth of the normal distribution
    assert MODEL.threshold(0.19, 2) == 0.1482  # 1 - (1 - 0.1)^2
    assert MODEL.threshold(0.1, 0) == MODEL.threshold(0.1, 1)
    assert MODEL.confidence(np.array([0.02]), 2)[0] == pytest.approx(1 / (1 + np.e))  # one impostor is expected


people = st.integers(1, 5_000_000)


@given(people, st.floats(1e-6, 0.5))
def test_the_threshold_is_the_lowest_within_the_target_fpir(size: int, target: float) -> None:
    threshold = MODEL.threshold(target, size)
    assert MODEL.fpir(threshold, size) <= target * (1 + 1e-9)
    assert MODEL.fpir(threshold - 1.1e-4, size) > target * (1 - 1e-9)


@given(people, people, st.floats(-1, 1))
def test_larger_galleries_have_higher_fpir_and_lower_confidence(one: int, other: int, similarity: float) -> None:
    few, many = sorted((one, other))
    assert MODEL.fpir(similarity, few) <= MODEL.fpir(similarity, many) + 1e-12
    assert MODEL.threshold(0.01, few) <= MODEL.threshold(0.01, many)
    high, low = (MODEL.confidence(np.array([similarity]), size)[0] for size in (few, many))
    assert high >= low
    odds = np.log(high / (1 - high)) - np.log(low / (1 - low))
    assert odds == pytest.approx(0.5 * np.log(many / few), abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), people)
def test_confidence_rises_with_similarity_and_lies_in_0_to_1(similarities: list[float], size: int) -> None:
    confidence = MODEL.confidence(np.sort(similarities), size)
    assert (np.diff(confidence) >= 0).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()


def test_extreme_similarities_are_finite() -> None:
    narrow = ImpostorModel(mean=0.0, std=0.01, intercept=0.0, slope=1.0)
    assert narrow.log_expected_impostors(np.array([0.05]), 100)[0] == pytest.approx(np.log(100) + norm.logsf(5))
    assert narrow.confidence(np.array([1.0, -1.0]), 10) == pytest.approx([1, 0.0909], abs=1e-3)
    assert narrow.fpir(1.0, 1_000_000) == 0
    assert narrow.fpir(-1.0, 10) == 1


@given(st.floats(-1, 1))
def test_round_up_to_four_decimals(value: float) -> None:
    rounded = round_up(value)
    assert value < rounded <= value + 1.000001e-4
    assert rounded == round(rounded, 4)


@pytest.mark.parametrize("change", [{"std": 0.0}, {"slope": -0.1}, {"mean": float("nan")}, {"extra": 1}])
def test_impossible_parameters_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ImpostorModel.model_validate(MODEL.model_dump() | change)


def test_the_key_of_earlier_versions_is_read() -> None:
    old = {"mean": 0.02, "deviation": 0.1, "intercept": -1.0, "slope": 0.5}
    assert ImpostorModel.model_validate(old) == MODEL
    assert "std" in MODEL.model_dump() and "deviation" not in MODEL.model_dump()
