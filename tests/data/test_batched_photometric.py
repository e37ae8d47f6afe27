from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.pretend import NAME, kinds, watch
from onelook.data.batched_photometric import (
    distort_images,
    gaussian_noise,
    shift_hue_saturation,
    stack_photometric,
)
from onelook.data.photometric import PhotometricParams, distort_image, draw_photometric
from onelook.device import to_device

EFFECTS: dict[str, dict[str, Any]] = {
    "brightness and color": {},
    "gray scale": {"is_gray": True},
    "small blur": {"blur_sigma": 0.4},
    "large blur": {"blur_sigma": 1.6},
    "low resolution": {"downscale": 0.4371},
    "lower resolution, half the size": {"downscale": 0.5},
    "slightly lower resolution": {"downscale": 0.7996},
    "hue": {"hue": 25.0},
    "negative hue": {"hue": -36.0},
    "saturation": {"saturation": 0.5},
    "more saturation": {"saturation": 1.5, "hue": 10.0},
    "all": {"hue": -20.0, "saturation": 1.3, "is_gray": True, "blur_sigma": 1.1, "downscale": 0.55},
}


def make_images(count: int, side: int) -> list[np.ndarray]:
    """Squares of random colors with a random texture."""
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 236, (count, side // 8, side // 8, 3), dtype=np.uint8)
    texture = rng.integers(0, 20, (count, side, side, 3), dtype=np.uint8)
    return list(squares.repeat(8, axis=1).repeat(8, axis=2) + texture)


def draw(count: int, **changes: Any) -> list[PhotometricParams]:
    """Draw random brightness and colors, with exactly the effects that are named."""
    none = {"hue": 0.0, "saturation": 1.0, "is_gray": False, "blur_sigma": 0.0, "downscale": 1.0, "noise_std": 0.0}
    return [replace(draw_photometric(1.0, np.random.default_rng(i)), **{**none, **changes}) for i in range(count)]


def to_tensor(images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def distort(images: list[np.ndarray], params: list[PhotometricParams]) -> np.ndarray:
    distorted = distort_images(to_tensor(images), stack_photometric(params))
    assert distorted.dtype == torch.uint8 and distorted.is_contiguous(memory_format=torch.channels_last)
    return distorted.permute(0, 2, 3, 1).numpy()


def assert_equal_within_rounding(images: list[np.ndarray], params: list[PhotometricParams]) -> None:
    expected = np.stack([distort_image(image, each) for image, each in zip(images, params, strict=True)])
    difference = np.abs(distort(images, params).astype(int) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-2


@pytest.mark.parametrize("effects", EFFECTS.values(), ids=EFFECTS)
@pytest.mark.parametrize("side", [64, 160])
def test_effects_equal_those_of_opencv_within_rounding(side: int, effects: dict[str, Any]) -> None:
    assert_equal_within_rounding(make_images(3, side), draw(3, **effects))


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from([48, 80]))
def test_any_drawn_distortion_without_noise_equals_that_of_opencv(seed: int, side: int) -> None:
    params = [replace(draw_photometric(1.0, np.random.default_rng([seed, i]), 1.0), noise_std=0.0) for i in range(4)]
    assert_equal_within_rounding(make_images(4, side), params)


def test_brightness_and_gray_scale_are_equal_to_the_last_bit() -> None:
    images = make_images(6, 64)
    params = draw(3) + draw(3, is_gray=True)
    expected = [distort_image(image, each) for image, each in zip(images, params, strict=True)]
    np.testing.assert_array_equal(distort(images, params), expected)


def test_hue_and_saturation_by_hand() -> None:
    """Red by 60 degrees is yellow; half of its saturation adds half of the other colors; gray has neither."""
    pixels = torch.tensor([[1.0, 0, 0], [0.8, 0, 0], [0.4, 0.4, 0.4], [0.6, 0.3, 0.3]])
    hue, saturation = torch.tensor([60.0, 0, 100, 0]), torch.tensor([1.0, 0.5, 1.5, 4])
    expected = torch.tensor([[1.0, 1, 0], [0.8, 0.4, 0.4], [0.4, 0.4, 0.4], [0.6, 0, 0]])
    torch.testing.assert_close(shift_hue_saturation(pixels, hue, saturation), expected)


def test_hue_and_saturation_equal_those_of_opencv_s_hsv() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.float32) / 255
    pixels[0, 0], pixels[0, 1], pixels[0, 2] = 0, 1, (1, 1, 0)
    for hue, saturation in ((0.0, 1.0), (77.0, 1.0), (-200.0, 0.4), (5.0, 1.7)):
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        hsv = np.stack([(hsv[..., 0] + hue) % 360, (hsv[..., 1] * saturation).clip(0, 1), hsv[..., 2]], -1)
        expected = cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)
        found = shift_hue_saturation(torch.from_numpy(pixels), torch.tensor(hue), torch.tensor(saturation))
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_noise_has_the_drawn_standard_deviation() -> None:
    image = np.full((96, 96, 3), 128, np.uint8)
    params = [
        replace(each, gains=np.ones(3, np.float32), shift=0.5, noise_std=std)
        for each, std in zip(draw(3), (0.0, 3.0, 9.0), strict=True)
    ]
    noisy = distort([image] * 3, params).astype(float)
    assert (noisy[0] == 128).all()
    for distorted, std in zip(noisy[1:], (3.0, 9.0), strict=True):
        assert distorted.mean() == pytest.approx(128, abs=0.2)
        assert distorted.std() == pytest.approx(std, rel=0.03)


def test_noise_is_standard_normal_and_independent_between_seeds_and_neighbors() -> None:
    noise = gaussian_noise(torch.tensor([0, 1, 2**31 - 1], dtype=torch.int32), 200_001).double()
    assert noise.shape == (3, 200_001)
    for moment, expected in enumerate((0.0, 1.0, 0.0, 3.0), start=1):
        torch.testing.assert_close(
            noise.pow(moment).mean(1), torch.full((3,), expected, dtype=torch.float64), atol=0.05, rtol=0
        )
    torch.testing.assert_close(torch.corrcoef(noise), torch.eye(3, dtype=torch.float64), atol=0.01, rtol=0)
    for lag in (1, 3, 96 * 3, 100_001):  # channel, pixel, row, the other value of a pair
        assert (noise[:, lag:] * noise[:, :-lag]).mean(1).abs().max() < 0.01


def test_an_image_is_distorted_alike_in_any_batch() -> None:
    images = make_images(5, 64)
    params = [replace(draw_photometric(1.0, np.random.default_rng(i)), noise_std=5.0) for i in range(5)]
    together = distort(images, params)
    for i in range(5):
        np.testing.assert_array_equal(distort(images[i : i + 1], params[i : i + 1])[0], together[i])


def test_images_that_the_loader_distorted_are_returned() -> None:
    images = to_tensor(make_images(1, 64))
    assert distort_images(images, None) is images


def test_a_device_neither_waits_nor_depends_on_the_values() -> None:
    images, photometric = to_tensor(make_images(4, 64)), stack_photometric(draw(4, noise_std=4.0, downscale=0.6))
    expected = distort_images(images, photometric)
    on_device = to_device((images, photometric), torch.device(NAME))
    with watch() as events:
        distorted = distort_images(*on_device)
    assert not kinds(events)
    assert distorted.cpu().equal(expected)


class CountingMode(TorchDispatchMode):
    """Counts the operations of torch."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def count_operations(batch: int, effects: dict) -> int:
    images, photometric = to_tensor(make_images(batch, 64)), stack_photometric(draw(batch, **effects))
    with CountingMode() as mode:
        distort_images(images, photometric)
    return mode.count


def test_the_number_of_operations_depends_on_new_colors_alone() -> None:
    without = {count_operations(1, {}), count_operations(3, {"noise_std": 3.0})}
    recolored = {count_operations(1, {"hue": 9.0}), count_operations(7, EFFECTS["all"])}
    assert len(without) == len(recolored) == 1 and max(without) < min(recolored)
