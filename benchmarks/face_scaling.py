"""Resize photos so that their faces have a given size: the size rows of the recognition benchmarks."""

import cv2
import numpy as np

MEDIAN_SIZES = (40, 54, 110, 165, 219, 325, 429, 1000)
"""Median face sizes of the size table, in pixels: square roots of the areas of the boxes."""


def resize_by(image: np.ndarray, factor: float) -> np.ndarray:
    """Resize an image (H, W, 3) by a factor: area averaging down, bicubic interpolation up."""
    if factor == 1:
        return image
    height, width = image.shape[:2]
    shape = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def single_factors(sizes: np.ndarray, target: float) -> np.ndarray:
    """Return the factors (n,) that bring each face to a target size; the median's where a size is NaN."""
    return target / np.where(np.isfinite(sizes), sizes, np.nanmedian(sizes))
