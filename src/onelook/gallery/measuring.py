"""Measuring how good a photo of a face is to enrol."""

from collections.abc import Sequence
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


def sharpness(faces: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Of each face the variance of the Laplacian of the aligned crop, over the variance of its gray levels.

    Every face is brought to the same few pixels first: what blur does to recognition depends on its width as a share of
    the face, and finer detail is not seen by the network either. The division takes out contrast, as a dim photo may be
    sharp. The part from brows to mouth is measured, so that neither background nor the photo's edge counts. A plain
    surface has 0, white noise about 20.

    Args:
        faces: photos, RGB uint8 (H, W, 3), and landmarks (5, 2) in pixels of each.
    """
    if not faces:
        return []
    # One below the other, as OpenCV takes longer to begin than to measure a face. What is measured of each ends before
    # the next can be seen in it.
    crops = np.concatenate([align_crop(photo, landmarks, _SIDE) for photo, landmarks in faces])
    gray = cv2.cvtColor(crops, cv2.COLOR_RGB2GRAY).astype(np.float64)
    edges = cv2.Laplacian(gray, cv2.CV_64F)
    varied, detail = (each.reshape(-1, _SIDE, _SIDE)[:, *_INNER].var((1, 2)) for each in (gray, edges))
    return (detail / np.maximum(varied, _LEAST_VARIANCE)).tolist()


def measure_face(photo: np.ndarray, box: np.ndarray, landmarks: np.ndarray, score: float, longest_side: int) -> Quality:
    """The quality of a face, box (4,) and landmarks (5, 2) in pixels of a photo (H, W, 3).

    The photo is one that the network saw with this longest side, in pixels.
    """
    return measure_all([(photo, box, landmarks, score)], longest_side)[0]


def measure_all(faces: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, float]], longest_side: int) -> list[Quality]:
    """The qualities of faces, each given by its photo, box, landmarks and score as to `measure_face`."""
    values = sharpness([(photo, landmarks) for photo, _, landmarks, _ in faces])
    return [
        Quality(score=float(score), size=_size(box) * min(1.0, longest_side / max(photo.shape[:2])), sharpness=value)
        for (photo, box, _, score), value in zip(faces, values, strict=True)
    ]


def _size(box: np.ndarray) -> float:
    x1, y1, x2, y2 = box.tolist()
    return sqrt(max(x2 - x1, 0) * max(y2 - y1, 0))
