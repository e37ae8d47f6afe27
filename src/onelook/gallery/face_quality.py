"""How good a photo of a face is to enroll: how sure the detector is, how large and how sharp the face is."""

from collections.abc import Sequence
from math import sqrt

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from onelook.geometry.alignment import align_crop

# In pixels. Two photos of a person are similar enough for the name in 85 % of pairs; where one face is 56 pixels large
# in three quarters, at 36 pixels in half, at 30 in a third, at 24 in a tenth (benchmarks/enrollment_quality.py).
LEAST_SIZE = 32.0
FULL_SIZE = 64.0
# A Gaussian blur of 1.5 % of the face leaves a sharpness of 0.77 and 77 % of those pairs; of 3 %, 0.39 and half of
# them; of 4.5 %, 0.21 and 7 %; of 7 %, 0.10 and none.
LEAST_SHARPNESS = 0.2
FULL_SHARPNESS = 0.6
# A photo that is known to be poor still counts, so that a person with nothing else has a template.
_LEAST_SHARE = 0.1


class Quality(BaseModel):
    """What is measured of an enrolled face."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    score: float = Field(ge=0, le=1, description="how sure the detector is that it is a face")
    size: float = Field(ge=0, description="square root of the box area, in pixels as the network sees the photo")
    sharpness: float = Field(ge=0, description="see `measuring.sharpness`")

    @property
    def weight(self) -> float:
        """How much the photo counts in its person's template, 0..1; a poor photo counts little, never nothing."""
        large, sharp = self.size / FULL_SIZE, self.sharpness / FULL_SHARPNESS
        return self.score * min(1.0, max(_LEAST_SHARE, large)) * min(1.0, max(_LEAST_SHARE, sharp))


def quality_problem(quality: Quality) -> str | None:
    """Why a photo is not to be enrolled, and what to do; None where it may be."""
    if quality.size < LEAST_SIZE:
        return f"the face is {quality.size:.0f} pixels large, {LEAST_SIZE:.0f} are needed; use a larger one, or crop it"
    if quality.sharpness < LEAST_SHARPNESS:
        return f"the face is blurred (sharpness {quality.sharpness:.2f}, {LEAST_SHARPNESS} is needed); use a sharp one"
    return None


# Gray levels that vary by less than five are a surface and the rounding of its pixels, which would pass for detail.
_LEAST_VARIANCE = 25.0
# The released network samples a face at 28 x 28 points (`model.embedding.grid_size`).
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
    return measure_faces([(photo, box, landmarks, score)], longest_side)[0]


def measure_faces(
    faces: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, float]], longest_side: int
) -> list[Quality]:
    """The qualities of faces, each given by its photo, box, landmarks and score as to `measure_face`."""
    values = sharpness([(photo, landmarks) for photo, _, landmarks, _ in faces])
    return [
        Quality(score=float(score), size=_size(box) * min(1.0, longest_side / max(photo.shape[:2])), sharpness=value)
        for (photo, box, _, score), value in zip(faces, values, strict=True)
    ]


def _size(box: np.ndarray) -> float:
    x1, y1, x2, y2 = box.tolist()
    return sqrt(max(x2 - x1, 0) * max(y2 - y1, 0))
