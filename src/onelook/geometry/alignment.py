"""Face alignment: similarity transforms from five landmarks, and aligned crops.

Points are continuous coordinates: pixel k covers [k, k + 1), its center is k + 0.5. OpenCV's pixel centers are whole
numbers, so transforms are shifted by half a pixel before `warpAffine`.
"""

from math import ceil, floor

import cv2
import numpy as np

from onelook.geometry.array_namespace import Array, array_namespace

CROP_SIZE = 112
"""Side of ArcFace's aligned crop, in pixels."""
REFERENCE_LANDMARKS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""The five landmarks in an aligned crop of 112 pixels (ArcFace, Deng et al. 2019, as in its public code)."""

SIZE_PER_LANDMARK_SPREAD = 4.05
"""Face size as a multiple of the RMS distance of the landmarks from their mean.

Median of the embedded data's training scenes, where nine in ten lie between 3.8 and 4.3."""


def face_sizes(landmarks: np.ndarray) -> np.ndarray:
    """Estimate the sizes (n,) of faces, as of their boxes, from landmarks (n, 5, 2), in pixels."""
    spreads = landmarks - landmarks.mean(1, keepdims=True)
    sizes: np.ndarray = SIZE_PER_LANDMARK_SPREAD * np.sqrt((spreads**2).sum(-1).mean(-1))
    return sizes


def similarity_transform(source: Array, target: Array) -> Array:
    """Fit the similarity transform that maps source points to target points.

    Rotation, uniform scaling and translation, without mirroring, in the least-squares sense (Umeyama 1991). In the
    plane the best rotation and scaling are one complex number.

    Args:
        source: (..., k, 2) points, k >= 2 and not all the same.
        target: (..., k, 2) points.

    Returns:
        (..., 2, 3): A such that A @ (x, y, 1) is the transformed point.
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
    """Apply affine transforms (..., 2, 3) to points (..., k, 2).

    NaN stays NaN.
    """
    return points @ transform[..., :2].swapaxes(-1, -2) + transform[..., None, :, 2]


def align_crop(
    image: np.ndarray, landmarks: np.ndarray, size: int = CROP_SIZE, template: np.ndarray | None = None
) -> np.ndarray:
    """Warp a face to an aligned crop.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (5, 2) in pixels of the image, all finite.
        size: side of the crop, in pixels.
        template: (5, 2) landmarks in the crop, in its pixels; None for `REFERENCE_LANDMARKS` scaled to `size`.

    Returns:
        (size, size, 3) uint8; its landmarks are those of the template. Black outside the image.
    """
    if template is None:
        template = REFERENCE_LANDMARKS.astype(np.float64) * size / CROP_SIZE
    transform = similarity_transform(landmarks.astype(np.float64), template.astype(np.float64))
    scale = np.hypot(transform[0, 0], transform[1, 0])
    if scale < 0.5:
        image, transform = _downscale_for_crop(image, transform, round(1 / scale), size)
    transform[:, 2] += transform[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(image, transform, (size, size), flags=cv2.INTER_LINEAR)


def _downscale_for_crop(
    image: np.ndarray, transform: np.ndarray, factor: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Downscale the cropped region by area averaging, against aliasing.

    warpAffine interpolates between four pixels at any scale, so a strong reduction needs averages first.

    Args:
        image: (H, W, 3) uint8.
        transform: (2, 3) from the image to the crop.
        factor: by which each side becomes shorter.
        size: side of the crop, in pixels.

    Returns:
        The downscaled region and the transform from there to the crop.
    """
    (real, _, right), (imaginary, _, down) = transform.tolist()
    squared = real**2 + imaginary**2
    # The crop's center in the image, and the half extent of the rotated crop along either axis.
    across, along = size / 2 - right, size / 2 - down
    middle = (real * across + imaginary * along) / squared, (real * along - imaginary * across) / squared
    reach = size / 2 * (abs(real) + abs(imaginary)) / squared
    spans = [
        _align_to_blocks(center - reach, center + reach, factor, end)
        for center, end in zip(middle, image.shape[1::-1], strict=True)
    ]
    (left, right_end), (top, bottom) = spans
    shape = [max(1, round((last - first) / factor)) for first, last in spans]
    reduced = cv2.resize(image[top:bottom, left:right_end], shape, interpolation=cv2.INTER_AREA)
    scales = [(last - first) / side for (first, last), side in zip(spans, shape, strict=True)]
    return reduced, np.array(
        [
            [real * scales[0], -imaginary * scales[1], right + real * left - imaginary * top],
            [imaginary * scales[0], real * scales[1], down + imaginary * left + real * top],
        ]
    )


def _align_to_blocks(first: float, last: float, block: int, end: int) -> tuple[int, int]:
    """Return the pixel range of the blocks that cover first..last, plus one each side.

    Bilinear interpolation reads one more block. The range is limited to 0..end and never empty, even where first..last
    lies outside.
    """
    start = min(max((floor(first / block) - 1) * block, 0), max(end - block, 0))
    return start, min(max((ceil(last / block) + 1) * block, block), end)


def crop_square(image: np.ndarray, box: np.ndarray, extent: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop the axis-aligned square around a box and resize it.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x1 y1 x2 y2 in pixels.
        extent: side of the square, as a multiple of the box's longer side.
        size: side of the crop in pixels.

    Returns:
        (size, size, 3) uint8, black outside the image, and the transform (2, 3) from image pixels to crop pixels.
    """
    scale = size / max(extent * float((box[2:] - box[:2]).max()), 1e-6)
    shift = size / 2 - scale * (box[:2] + box[2:]) / 2
    transform = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    to_centers = np.array([[0, 0, 1], [0, 0, 1]]) * (scale - 1) / 2
    return cv2.warpAffine(image, transform + to_centers, (size, size), flags=cv2.INTER_LINEAR), transform


def mirror_landmarks(landmarks: np.ndarray, width: float) -> np.ndarray:
    """Flip landmarks (..., 5, 2) horizontally in an image of `width` pixels.

    Left and right points swap indices.
    """
    mirrored = landmarks[..., [1, 0, 2, 4, 3], :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored
