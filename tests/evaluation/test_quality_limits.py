import numpy as np
import pytest
from scipy.special import expit

from onelook.evaluation.quality_limits import MIN_FACES, fit_quality_limits
from onelook.face_quality import Quality, QualityLimits


def sample_probes(count: int, good: float, rng: np.random.Generator) -> tuple[list[Quality], np.ndarray]:
    """Sample faces that are named half as often at 40 pixels, a sharpness of 0.4 and a profile of 0.3."""
    size, sharpness, profile = (
        rng.uniform(12, 160, count),
        np.exp(rng.uniform(-3, 0.7, count)),
        rng.uniform(0, 0.6, count),
    )
    varied = rng.integers(3, size=count)
    size, sharpness = np.where(varied == 0, size, 110), np.where(varied == 1, sharpness, 1.2)
    profile = np.where(varied == 2, profile, 0.05)
    probability = good * expit(8 * np.log(size / 40)) * expit(4 * np.log(sharpness / 0.4)) * expit(20 * (0.3 - profile))
    qualities = [
        Quality(score=1, size=float(a), sharpness=float(b), profile=float(c))
        for a, b, c in zip(size, sharpness, profile, strict=True)
    ]
    return qualities, rng.random(count) < probability


def test_limits_lie_where_a_half_and_a_tenth_of_the_names_are_left() -> None:
    rng = np.random.default_rng(0)
    (first, one), (second, other) = sample_probes(6000, 0.9, rng), sample_probes(6000, 0.4, rng)
    sets = np.repeat([0, 1], 6000)
    poor, unusable = fit_quality_limits(first + second, np.concatenate([one, other]), sets)
    assert poor.size == pytest.approx(40, rel=0.1)
    assert poor.sharpness == pytest.approx(0.4, rel=0.2)
    assert poor.profile == pytest.approx(0.3, abs=0.03)
    # logit(0.1) = -2.2
    assert unusable.size == pytest.approx(40 * np.exp(-2.2 / 8), rel=0.1)
    assert unusable.sharpness == pytest.approx(0.4 * np.exp(-2.2 / 4), rel=0.25)
    assert unusable.profile == pytest.approx(0.3 + 2.2 / 20, abs=0.04)


def test_few_faces_set_no_limit() -> None:
    qualities, is_named = sample_probes(MIN_FACES - 1, 0.9, np.random.default_rng(1))
    limits = fit_quality_limits(qualities, is_named, np.zeros(len(qualities), int))
    assert limits == (QualityLimits(size=0, sharpness=0), QualityLimits(size=0, sharpness=0))
