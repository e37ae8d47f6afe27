import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.data.degradation import degrade_image, shift_landmarks
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.settings import DegradeSettings

EFFECTS = [name for name in DegradeSettings.model_fields if name != "off_center"]


def textured_image() -> np.ndarray:
    """Return colored noise (112, 112, 3) uint8."""
    return np.random.default_rng(0).integers(60, 200, (112, 112, 3), dtype=np.uint8)


def sharpness(image: np.ndarray) -> float:
    """Return the mean absolute difference of neighboring pixels."""
    values = image.astype(np.float64)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean())


def test_without_probabilities_the_image_is_returned_unchanged() -> None:
    image = textured_image()
    assert degrade_image(image, REFERENCE_LANDMARKS, 80, DegradeSettings(), np.random.default_rng(0)) is image


@given(st.sampled_from(EFFECTS), st.floats(10, 90), st.integers(0, 100))
def test_every_effect_returns_another_image_of_the_same_shape(effect: str, size: float, seed: int) -> None:
    image = textured_image()
    original = image.copy()
    landmarks = (REFERENCE_LANDMARKS - 56) * np.float32(size / 90) + 56
    settings = DegradeSettings.model_validate({effect: 1})
    degraded = degrade_image(image, landmarks, size, settings, np.random.default_rng(seed))
    assert degraded.shape == image.shape and degraded.dtype == np.uint8
    np.testing.assert_array_equal(image, original)
    # Below 12 pixels a face is not shrunk further.
    assert not np.array_equal(degraded, image) or (effect == "low_resolution" and size <= 12)


@pytest.mark.parametrize("effect", ["blur", "motion_blur", "low_resolution"])
def test_blurs_smooth_more_the_larger_the_face(effect: str) -> None:
    image = textured_image()
    settings = DegradeSettings.model_validate({effect: 1})
    sizes = (20.0, 60.0, 180.0)
    results = [
        np.mean(
            [
                sharpness(degrade_image(image, REFERENCE_LANDMARKS, size, settings, np.random.default_rng(seed)))
                for seed in range(8)
            ]
        )
        for size in sizes
    ]
    assert results[0] < sharpness(image)
    assert results[2] < results[0]


def test_low_light_is_darker_and_noisier_and_gray_has_no_color() -> None:
    rng = np.random.default_rng(1)
    flat = np.full((64, 64, 3), (200, 120, 90), np.uint8)
    dark = degrade_image(flat, REFERENCE_LANDMARKS, 50, DegradeSettings(low_light=1), rng)
    assert dark.mean() < 0.75 * flat.mean() and dark.std(axis=(0, 1)).min() > 1
    gray = degrade_image(flat, REFERENCE_LANDMARKS, 50, DegradeSettings(gray=1), rng)
    assert (gray == gray[0, 0, 0]).all()


def test_effects_are_replayed_from_their_random_numbers() -> None:
    settings = DegradeSettings(**dict.fromkeys(EFFECTS, 0.5))
    results = [
        degrade_image(textured_image(), REFERENCE_LANDMARKS, 80, settings, np.random.default_rng(seed))
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_shifted_landmarks_keep_their_shape_and_move_in_proportion_to_the_face() -> None:
    for size in (20.0, 200.0):
        points = REFERENCE_LANDMARKS * np.float32(size / 90)
        shifted = [shift_landmarks(points, size, np.random.default_rng(seed)) for seed in range(200)]
        distances = np.linalg.norm(np.array(shifted).mean(1) - points.mean(0), axis=1) / size
        assert 0.03 < np.sqrt((distances**2).mean() / 2) < 0.04
        sides = np.linalg.norm(shifted[0][[0, 1, 3]] - shifted[0][[1, 4, 4]], axis=1)
        expected = np.linalg.norm(points[[0, 1, 3]] - points[[1, 4, 4]], axis=1)
        np.testing.assert_allclose(sides / expected, sides[0] / expected[0], rtol=1e-4)
