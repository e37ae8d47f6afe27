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
        hue: rotation of the hue in degrees; 0 for none.
        saturation: factor of the saturation; 1 for none.
    """

    gains: np.ndarray
    shift: float
    is_gray: bool
    blur_sigma: float
    downscale: float
    noise_std: float
    noise_seed: int
    hue: float = 0.0
    saturation: float = 1.0


def draw_photometric(strength: float, rng: np.random.Generator, hue_saturation: float = 0.0) -> PhotometricParams:
    """Draw the parameters of a distortion.

    Each of four effects has probability 0.4 x strength: gray scale, Gaussian blur, lower resolution and Gaussian noise.
    All random numbers are drawn in any case, so that a sample's other augmentations do not depend on the strength.

    Args:
        strength: 0 distorts nothing.
        rng: random generator.
        hue_saturation: strength of hue and saturation; at 1 those of SSD (Liu et al. 2016) and its implementations: up
            to 36 degrees, and factors of 0.5 to 1.5, with probability 0.5 each. 0 draws no random numbers for them.
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
    hue, saturation = 0.0, 1.0
    if hue_saturation > 0:
        has_hue, has_saturation = rng.random(2) < 0.5
        drawn = hue_saturation * rng.uniform(-1, 1, 2)
        hue, saturation = 36 * drawn[0] * has_hue, 1 + 0.5 * drawn[1] * has_saturation
    return PhotometricParams(
        gains=gains.astype(np.float32),
        shift=shift,
        is_gray=bool(is_gray),
        blur_sigma=blur_sigma if is_blurred else 0.0,
        downscale=downscale if is_downscaled else 1.0,
        noise_std=noise_std if is_noisy else 0.0,
        noise_seed=int(noise_seed),
        hue=float(hue),
        saturation=float(saturation),
    )


def distort_image(image: np.ndarray, params: PhotometricParams) -> np.ndarray:
    """Distort brightness, color and sharpness of an image (H, W, 3) uint8."""
    pixels = image.astype(np.float32)
    if params.hue != 0 or params.saturation != 1:
        pixels = _shift_hue_saturation(pixels, params)
    pixels = pixels * params.gains + np.float32(params.shift)
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


def _shift_hue_saturation(pixels: np.ndarray, params: PhotometricParams) -> np.ndarray:
    """Change hue and saturation in HSV (Smith, SIGGRAPH 1978) of pixels (H, W, 3) float32 in 0..255."""
    hsv = cv2.cvtColor(pixels / np.float32(255), cv2.COLOR_RGB2HSV)  # degrees, 0..1, 0..1
    hsv[..., 0] = (hsv[..., 0] + np.float32(params.hue)) % np.float32(360)
    hsv[..., 1] = np.minimum(hsv[..., 1] * np.float32(params.saturation), 1)
    shifted: np.ndarray = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * np.float32(255)
    return shifted


def photometric_distortion(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw parameters and distort an image (H, W, 3) uint8; strength 0 returns an equal image."""
    return distort_image(image, draw_photometric(strength, rng))
