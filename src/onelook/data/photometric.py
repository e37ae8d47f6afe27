"""Photometric distortion: parameters drawn per image, and their effects on one image with OpenCV.

`batched_photometric.py` has the same effects for a batch of images on any device.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, eq=False)
class PhotometricParams:
    """Drawn parameters of the distortion of one image.

    Attributes:
        gains: (3,) float32, factors of red, green and blue.
        shift: added to all channels, in gray levels.
        is_gray: True where the image loses its color.
        blur_sigma: standard deviation of the Gaussian blur in pixels; 0 for none.
        downscale: factor of the lower resolution; 1 for none.
        noise_std: standard deviation of the Gaussian noise in gray levels; 0 for none.
        noise_seed: seed of the noise, nonnegative int32.
    """

    gains: np.ndarray
    shift: float
    is_gray: bool
    blur_sigma: float
    downscale: float
    noise_std: float
    noise_seed: int


def draw_photometric(strength: float, rng: np.random.Generator) -> PhotometricParams:
    """Draw the parameters of a distortion.

    Each of four effects has probability 0.4 x strength: gray scale, Gaussian blur, lower resolution and Gaussian noise.
    All random numbers are drawn in any case, so that a sample's other augmentations do not depend on the strength.

    Args:
        strength: 0 distorts nothing.
        rng: random generator.
    """
    gains = 1 + strength * (rng.uniform(-0.4, 0.4) + rng.uniform(-0.25, 0.25, 3))
    shift = strength * rng.uniform(-40, 40)
    is_gray, is_blurred, is_downscaled, is_noisy = rng.random(4) < strength * 0.4
    blur_sigma, downscale, noise_std, noise_seed = (
        rng.uniform(0.4, 1.6),
        rng.uniform(0.4, 0.8),
        rng.uniform(2, 10),
        rng.integers(2**31),
    )
    return PhotometricParams(
        gains=gains.astype(np.float32),
        shift=shift,
        is_gray=bool(is_gray),
        blur_sigma=blur_sigma if is_blurred else 0.0,
        downscale=downscale if is_downscaled else 1.0,
        noise_std=noise_std if is_noisy else 0.0,
        noise_seed=int(noise_seed),
    )


def distort_image(image: np.ndarray, params: PhotometricParams) -> np.ndarray:
    """Distort brightness, color and sharpness of an image (H, W, 3) uint8."""
    pixels = image.astype(np.float32) * params.gains + np.float32(params.shift)
    if params.is_gray:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, axis=2)
    if params.blur_sigma > 0:
        pixels = cv2.GaussianBlur(pixels, (0, 0), params.blur_sigma)
    if params.downscale < 1:
        size = image.shape[1::-1]
        small = cv2.resize(pixels, None, fx=params.downscale, fy=params.downscale, interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    if params.noise_std > 0:
        noise = np.random.default_rng(params.noise_seed).standard_normal(image.shape, np.float32)
        pixels = pixels + noise * np.float32(params.noise_std)
    return pixels.clip(0, 255).astype(np.uint8)


def photometric_distortion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw parameters and distort an image (H, W, 3) uint8; strength 0 returns an equal image."""
    return distort_image(image, draw_photometric(strength, rng))
