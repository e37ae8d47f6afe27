"""Measuring how good a photo of a face is to enrol."""

from math import sqrt

import cv2
import numpy as np

from onelook.gallery.quality import Quality
from onelook.geometry.alignment import align_crop

# Gray levels that vary by less than five are a surface and the rounding of its pixels, which would pass for detail.
_LEAST_VARIANCE = 25.0
# The released network samples a face at 28 x 28 points (`model.embedding.grid`).
_SIDE = 28
_INNER = slice(7, 25), slice(7, 21)


def sharpness(photo: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian of an aligned face, over the variance of its gray levels.

    Every face is brought to the same few pixels first: what blur does to recognition depends on its width as a share of
    the face, and finer detail is not seen by the network either. The division takes out contrast, as a dim photo may be
    sharp. The part from brows to mouth is measured, so that neither background nor the photo's edge counts. A plain
    surface has 0, white noise about 20.

    Args:
        photo: RGB uint8 (H, W, 3).
        landmarks: (5, 2) in pixels of the photo.
    """
    gray = cv2.cvtColor(align_crop(photo, landmarks, _SIDE), cv2.COLOR_RGB2GRAY).astype(np.float64)
    edges = cv2.Laplacian(gray, cv2.CV_64F)
    return _variance(edges[_INNER]) / max(_variance(gray[_INNER]), _LEAST_VARIANCE)


def measure_face(photo: np.ndarray, box: np.ndarray, landmarks: np.ndarray, score: float, longest_side: int) -> Quality:
    """The quality of a face, box (4,) and landmarks (5, 2) in pixels of a photo (H, W, 3).

    The photo is one that the network saw with this longest side, in pixels.
    """
    x1, y1, x2, y2 = box.tolist()
    size = sqrt(max(x2 - x1, 0) * max(y2 - y1, 0)) * min(1.0, longest_side / max(photo.shape[:2]))
    return Quality(score=float(score), size=size, sharpness=sharpness(photo, landmarks))


def _variance(values: np.ndarray) -> float:
    """Of all values (h, w) float64; OpenCV begins sooner than NumPy."""
    return float(cv2.meanStdDev(values)[1].item() ** 2)
