from dataclasses import replace

import numpy as np
import pytest

from onelook.data.photometric import distort_image, draw_photometric, photometric_distortion


def test_strength_zero_changes_nothing_and_strength_one_changes_most_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(photometric_distortion(image, 0.0, np.random.default_rng(1)), image)
    changed = photometric_distortion(image, 1.0, np.random.default_rng(1))
    assert changed.dtype == np.uint8 and (changed != image).mean() > 0.5


def test_the_later_random_numbers_do_not_depend_on_the_strength() -> None:
    rngs = [np.random.default_rng(3) for _ in range(3)]
    for rng, strength in zip(rngs, (0.0, 0.5, 1.0), strict=True):
        draw_photometric(strength, rng)
    assert len({rng.random() for rng in rngs}) == 1


def test_each_effect_has_probability_two_fifths_of_the_strength() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_photometric(0.5, rng) for _ in range(5000)]
    for applied in (
        [params.is_gray for params in drawn],
        [params.blur_sigma > 0 for params in drawn],
        [params.downscale < 1 for params in drawn],
        [params.noise_std > 0 for params in drawn],
    ):
        assert np.mean(applied) == pytest.approx(0.2, abs=0.02)


def test_the_distortion_of_a_seed_stays_the_same() -> None:
    """The committed dvc.lock depends on these values."""
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3) * 5
    sums = [int(photometric_distortion(image, 1.0, np.random.default_rng(seed)).sum()) for seed in range(6)]
    assert sums == [6319, 5459, 4264, 1931, 7779, 6176]


def test_hue_and_saturation_are_drawn_as_by_ssd_and_not_at_strength_zero() -> None:
    """At 0 no random numbers are drawn for them, so earlier trainings stay the same."""
    rng, other = np.random.default_rng(0), np.random.default_rng(0)
    assert (draw_photometric(1.0, rng).hue, draw_photometric(1.0, other, 0.0).saturation) == (0, 1)
    assert rng.random() == other.random()
    drawn = [draw_photometric(0.0, rng, 1.0) for _ in range(4000)]
    hues, saturations = (np.array([getattr(params, name) for params in drawn]) for name in ("hue", "saturation"))
    assert np.mean(hues != 0) == pytest.approx(0.5, abs=0.03) == np.mean(saturations != 1)
    assert 35 < hues.max() <= 36 and -36 <= hues.min() < -35
    assert 1.48 < saturations.max() <= 1.5 and 0.5 <= saturations.min() < 0.52
    image = np.full((4, 4, 3), (200, 100, 100), np.uint8)
    changed = distort_image(image, replace(draw_photometric(0.0, rng), saturation=1.5))
    assert changed[0, 0].tolist() == [200, 50, 50]
