"""Bringing a face upright: similarity transforms from five landmarks, and aligned crops.

Points are continuous coordinates: pixel k covers [k, k + 1), its center is k + 0.5.
"""

from math import ceil, floor
from typing import TYPE_CHECKING

import cv2
import numpy as np

from onelook.geometry.arrays import Array, array_namespace

if TYPE_CHECKING:
    pass


CROP = 112
# Where the five landmarks lie in an aligned crop of 112 pixels (ArcFace, Deng et al. 2019, as in its public code).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


def similarity_transform(source: Array, target: Array) -> Array:
    """The rotation, uniform scaling and shift that brings `source` closest to `target`, without mirroring.

    Args:
        source, target: (..., k, 2) points, k >= 2 and not all the same.

    Returns:
        (..., 2, 3): A such that A @ (x, y, 1) is the moved point; least squares (Umeyama 1991, in the plane, where the
        best rotation and scaling are one complex number).
    """
    center_s = source.mean(-2)
    center_t = target.mean(-2)
    s = source - center_s[..., None, :]
    t = target - center_t[..., None, :]
    norm = (s**2).sum(-1).sum(-1).clip(1e-9)
    real = (s * t).sum(-1).sum(-1) / norm
    imaginary = (s[..., 0] * t[..., 1] - s[..., 1] * t[..., 0]).sum(-1) / norm
    shift_x = center_t[..., 0] - real * center_s[..., 0] + imaginary * center_s[..., 1]
    shift_y = center_t[..., 1] - imaginary * center_s[..., 0] - real * center_s[..., 1]
    stack = array_namespace(source).stack
    return stack([stack([real, -imaginary, shift_x], -1), stack([imaginary, real, shift_y], -1)], -2)


def apply_transform(transform: Array, points: Array) -> Array:
    """Move points (..., k, 2) by transforms (..., 2, 3); NaN stays NaN."""
    return points @ transform[..., :2].swapaxes(-1, -2) + transform[..., None, :, 2]


def align_crop(photo: np.ndarray, landmarks: np.ndarray, size: int = CROP) -> np.ndarray:
    """Cut a face out upright.

    Args:
        photo: (H, W, 3) uint8.
        landmarks: (5, 2) in pixels of the photo, none absent.
        size: side of the crop, in pixels.

    Returns:
        (size, size, 3) uint8 in which the landmarks lie on `TEMPLATE` scaled to `size`; black outside the photo.
    """
    transform = similarity_transform(landmarks.astype(np.float64), TEMPLATE.astype(np.float64) * size / CROP)
    scale = np.hypot(transform[0, 0], transform[1, 0])
    if scale < 0.5:
        photo, transform = _reduced(photo, transform, round(1 / scale), size)
    # OpenCV puts pixel centers at whole numbers.
    transform[:, 2] += transform[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(photo, transform, (size, size), flags=cv2.INTER_LINEAR)


def _reduced(photo: np.ndarray, transform: np.ndarray, times: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a photo that a crop shows, each side so many times shorter, and the transform from there.

    warpAffine reads four pixels however much it shrinks; means of squares of pixels keep it from aliasing.
    """
    (real, _, right), (imaginary, _, down) = transform.tolist()
    squared = real**2 + imaginary**2
    # Where the crop's middle lies in the photo, and how far from there its turned square reaches along either axis.
    across, along = size / 2 - right, size / 2 - down
    middle = (real * across + imaginary * along) / squared, (real * along - imaginary * across) / squared
    reach = size / 2 * (abs(real) + abs(imaginary)) / squared
    spans = [
        _whole_squares(place - reach, place + reach, times, end)
        for place, end in zip(middle, photo.shape[1::-1], strict=True)
    ]
    (left, right_end), (top, bottom) = spans
    shape = [max(1, round((last - first) / times)) for first, last in spans]
    reduced = cv2.resize(photo[top:bottom, left:right_end], shape, interpolation=cv2.INTER_AREA)
    scales = [(last - first) / side for (first, last), side in zip(spans, shape, strict=True)]
    return reduced, np.array(
        [
            [real * scales[0], -imaginary * scales[1], right + real * left - imaginary * top],
            [imaginary * scales[0], real * scales[1], down + imaginary * left + real * top],
        ]
    )


def _whole_squares(first: float, last: float, times: int, end: int) -> tuple[int, int]:
    """The pixels first..last of so many up to `end`, in whole squares counted from 0 and one more on each side.

    Bilinear samples reach as far. Where all of it lies outside the photo some of that remains, which nobody sees.
    """
    start = min(max((floor(first / times) - 1) * times, 0), max(end - times, 0))
    return start, min(max((ceil(last / times) + 1) * times, times), end)


def crop_square(photo: np.ndarray, box: np.ndarray, extent: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut out the square around a box, along the photo's own axes; black where the photo ends.

    Args:
        photo: (H, W, 3) uint8.
        box: (4,) x1 y1 x2 y2 in pixels.
        extent: side of the square in longer sides of the box.
        size: side of the crop in pixels.

    Returns:
        (size, size, 3) uint8, and the transform (2, 3) from the photo's pixels to the crop's.
    """
    scale = size / max(extent * float((box[2:] - box[:2]).max()), 1e-6)
    shift = size / 2 - scale * (box[:2] + box[2:]) / 2
    transform = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    # OpenCV puts pixel centers at whole numbers.
    to_centers = np.array([[0, 0, 1], [0, 0, 1]]) * (scale - 1) / 2
    return cv2.warpAffine(photo, transform + to_centers, (size, size), flags=cv2.INTER_LINEAR), transform


def mirror_landmarks(landmarks: np.ndarray, width: float) -> np.ndarray:
    """Landmarks (..., 5, 2) after the photo of `width` pixels is flipped left to right: left and right swap names."""
    mirrored = landmarks[..., [1, 0, 2, 4, 3], :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
