"""Degradations of a face crop: occlusions, low light, blur, low resolution, compression, misplaced landmarks.

Their strengths are in proportion to the face, so they mean the same for faces of all sizes.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from onelook.data.occlusions import draw_glasses, draw_mask
from onelook.settings import DegradeSettings

# Ranges of the random strengths; lengths are fractions of the face size.
_BLUR_SIGMA = (0.008, 0.035)
_MOTION_LENGTH = (0.03, 0.14)
_RESOLUTION = (0.25, 0.8)
_MIN_RESOLUTION = 12.0  # pixels of a face, below which it is not shrunk
_LIGHT = (0.15, 0.7)
_NOISE_STD = (2.0, 12.0)  # gray levels
_NOISE_LENGTH = 2**20  # values; the largest crop has 3 x 512 x 512
_JPEG_QUALITY = (15, 70)
_SHIFT_STD, _LOG_SCALE_STD, _ROTATION_STD = 0.035, 0.06, 3.0  # the last in degrees

Effect = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
"""Maps an image (H, W, 3) uint8 and the size of its face in pixels to an image of the same shape."""


def degrade_image(
    image: np.ndarray, landmarks: np.ndarray, size: float, settings: DegradeSettings, rng: np.random.Generator
) -> np.ndarray:
    """Apply each degradation with its probability, in the order in which they happen to a photo.

    Args:
        image: RGB (H, W, 3) uint8; it is not changed.
        landmarks: (5, 2) of its face, in pixels.
        size: of the face, square root of the box area in pixels.
        settings: the section `train.faces.degrade`.
        rng: random generator.

    Returns:
        RGB (H, W, 3) uint8; the image itself where nothing is applied.
    """
    if rng.random() < settings.mask:
        image = draw_mask(image, landmarks, rng)
    if rng.random() < settings.glasses:
        image = draw_glasses(image, landmarks, rng)
    for effect, probability in (
        (_darken, settings.low_light),
        (_blur, settings.blur),
        (_blur_along_line, settings.motion_blur),
        (_lower_resolution, settings.low_resolution),
        (_remove_color, settings.gray),
        (_recompress, settings.jpeg),
    ):
        if rng.random() < probability:
            image = effect(image, size, rng)
    return image


def shift_landmarks(landmarks: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Shift, rotate and scale landmarks (..., 5, 2) of a face together, as a detector misplaces them.

    Args:
        landmarks: in pixels.
        size: of the face, in pixels.
        rng: random generator.
    """
    angle, scale = np.radians(rng.normal(0, _ROTATION_STD)), np.exp(rng.normal(0, _LOG_SCALE_STD))
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = landmarks.mean(-2, keepdims=True)
    shifted: np.ndarray = (landmarks - center) @ rotation.T + center + rng.normal(0, _SHIFT_STD * size, 2)
    return shifted.astype(np.float32)


def _darken(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    light, noise_std = _log_uniform(_LIGHT, rng), rng.uniform(*_NOISE_STD)
    # A part of the same noise at a random place: drawing it anew took 1 ms of 160 x 160 pixels, more than all else.
    start = int(rng.integers(_NOISE_LENGTH - image.size))
    noise = _standard_noise()[start : start + image.size].reshape(image.shape)
    return cv2.addWeighted(image, light, noise, noise_std, 0, dtype=cv2.CV_8U)


@cache
def _standard_noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(_NOISE_LENGTH, np.float32)


def _blur(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), max(rng.uniform(*_BLUR_SIGMA) * size, 0.3))


def _blur_along_line(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    length, angle = rng.uniform(*_MOTION_LENGTH) * size, rng.uniform(0, np.pi)
    reach = max(1, round(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    end = np.round(reach * (1 + np.array([np.cos(angle), np.sin(angle)]))).astype(int)
    cv2.line(kernel, end.tolist(), (2 * reach - end).tolist(), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _lower_resolution(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    factor = min(max(_log_uniform(_RESOLUTION, rng), _MIN_RESOLUTION / size), 1.0)
    shrink = (cv2.INTER_AREA, cv2.INTER_LINEAR)[int(rng.integers(2))]
    enlarge = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(2))]
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=shrink)
    return cv2.resize(small, image.shape[1::-1], interpolation=enlarge)


def _remove_color(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _recompress(image: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    quality = int(rng.integers(_JPEG_QUALITY[0], _JPEG_QUALITY[1] + 1))
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return decoded


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
