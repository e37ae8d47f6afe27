"""Face quality: detection score, face size, sharpness and profile; the template weight and the limits it gives."""

from collections.abc import Sequence

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from onelook.geometry.alignment import align_crop
from onelook.geometry.boxes import box_sizes
from onelook.inference.tiles import SMALL_FACE

# Face sizes in pixels. Two photos of a person match in 85 % of pairs. With one face of 56 pixels it is three quarters,
# with 36 pixels half, with 30 a third, with 24 a tenth (benchmarks/enrollment_quality.py).
MIN_SIZE = 32.0
FULL_WEIGHT_SIZE = 64.0
# A Gaussian blur of 1.5 % of the face size leaves a sharpness of 0.77 and 77 % of the matches, of 3 %: 0.39 and half,
# of 4.5 %: 0.21 and 7 %, of 7 %: 0.10 and none (benchmarks/enrollment_quality.py).
MIN_SHARPNESS = 0.2
FULL_WEIGHT_SHARPNESS = 0.6
# A poor photo still counts, so that a person with no better photo has a template.
_MIN_FACTOR = 0.1


class Quality(BaseModel):
    """The measured quality of one face."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    score: float = Field(ge=0, le=1, description="detection score")
    size: float = Field(ge=0, description="square root of the box area, in pixels of the pass that embeds it")
    sharpness: float = Field(ge=0, description="see `face_quality.measure_sharpness`")
    profile: float | None = Field(
        default=None, ge=0, description="see `face_quality.measure_profile`; None: not measured by an earlier version"
    )

    @property
    def weight(self) -> float:
        """Return the weight of the photo in its person's template, in 0..1."""
        size_factor, sharpness_factor = self.size / FULL_WEIGHT_SIZE, self.sharpness / FULL_WEIGHT_SHARPNESS
        return self.score * min(1.0, max(_MIN_FACTOR, size_factor)) * min(1.0, max(_MIN_FACTOR, sharpness_factor))

    def to_dict(self) -> dict[str, float | None]:
        """Convert to a JSON object without the detection score, pixels rounded to three decimals, others to six."""
        profile = None if self.profile is None else round(self.profile, 6)
        return {"size": round(self.size, 3), "sharpness": round(self.sharpness, 6), "profile": profile}


def template_weights(qualities: np.ndarray) -> np.ndarray:
    """Return the weights (n,) float64, to the last bit those of `Quality.weight`.

    Args:
        qualities: (n, 3) float64: score, size in pixels, sharpness.
    """
    factors = np.clip(qualities[:, 1:] / (FULL_WEIGHT_SIZE, FULL_WEIGHT_SHARPNESS), _MIN_FACTOR, 1.0)
    return qualities[:, 0] * factors[:, 0] * factors[:, 1]


class QualityLimits(BaseModel):
    """Limits of face quality, measured when the model's threshold is calibrated."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    size: float = Field(ge=0, description="smallest face size, in pixels as in `Quality`")
    sharpness: float = Field(ge=0, description="lowest sharpness")
    profile: float | None = Field(default=None, ge=0, description="highest profile; null: none was measured")

    def describe_problems(self, quality: Quality) -> str | None:
        """Describe how a face lies beyond the limits, as in "22 px, blurred"; None where it does not."""
        problems = [f"{quality.size:.0f} px"] if quality.size < self.size else []
        if quality.sharpness < self.sharpness:
            problems.append("blurred")
        if self.profile is not None and quality.profile is not None and quality.profile > self.profile:
            problems.append("in profile")
        return ", ".join(problems) or None


DEFAULT_UNUSABLE = QualityLimits(size=MIN_SIZE, sharpness=MIN_SHARPNESS)
"""Limits of enrollment where the calibration has none."""


def quality_problem(quality: Quality, limits: QualityLimits = DEFAULT_UNUSABLE) -> str | None:
    """Return why a photo is refused for enrollment; None where it is accepted."""
    if quality.size < limits.size:
        return (
            f"the face is {quality.size:.0f} pixels large, {limits.size:.0f} are needed; use a larger one, or crop it"
        )
    if quality.sharpness < limits.sharpness:
        needed = f"{limits.sharpness:.2g} is needed"
        return f"the face is blurred (sharpness {quality.sharpness:.2f}, {needed}); use a sharp one"
    if limits.describe_problems(quality) is not None:
        return "the face is in profile; use a photo from the front"
    return None


# Gray levels with a smaller variance are a plain surface; the rounding of its pixels would count as detail.
_MIN_VARIANCE = 25.0
# Side of the aligned crop in pixels: the released network samples a face at 28 x 28 points (model.embedding.grid_size).
_CROP_SIDE = 28
_BLACK_CROP = np.zeros((_CROP_SIDE, _CROP_SIDE, 3), np.uint8)
# Rows and columns from the brows to the mouth.
_INNER = slice(7, 25), slice(7, 21)


def measure_sharpness(faces: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Measure sharpness: the variance of the Laplacian over the variance of gray.

    - All faces are aligned to crops of the same size: the effect of blur depends on its width relative to the face.
    - Dividing by the variance of the gray levels removes contrast, because a dim photo may be sharp.
    - Only the part from the brows to the mouth counts, without background and photo borders.
    - A plain surface has 0, white noise about 20. Landmarks that all coincide give no crop, and 0.

    Args:
        faces: images, RGB uint8 (H, W, 3), and landmarks (5, 2) in pixels of each.
    """
    if not faces:
        return []
    # Stacked in one tall image for one OpenCV call. The inner part of a crop is not affected by the next crop.
    crops = np.concatenate(
        [
            align_crop(image, landmarks, _CROP_SIDE) if np.ptp(landmarks, axis=0).any() else _BLACK_CROP
            for image, landmarks in faces
        ]
    )
    gray = cv2.cvtColor(crops, cv2.COLOR_RGB2GRAY).astype(np.float64)
    edges = cv2.Laplacian(gray, cv2.CV_64F)
    variance, detail = (each.reshape(-1, _CROP_SIDE, _CROP_SIDE)[:, *_INNER].var((1, 2)) for each in (gray, edges))
    return (detail / np.maximum(variance, _MIN_VARIANCE)).tolist()


def measure_profile(landmarks: np.ndarray) -> float:
    """Measure how far a face is turned: the offset of the nose from the midline, in lengths of the midline.

    The midline joins the center of the eyes and the center of the mouth. A frontal face has 0, a full profile about
    0.4 with the released weights. Roll, size and the foreshortened distance of the eyes do not change the value.

    Args:
        landmarks: (5, 2), left eye, right eye, nose, left and right mouth corner.

    Returns:
        0 where the midline has no length.
    """
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    midline, nose = mouth - eyes, points[2] - eyes
    squared_length = float(midline @ midline)
    cross = float(midline[0] * nose[1] - midline[1] * nose[0])
    return abs(cross) / squared_length if squared_length > 0 else 0.0


def measure_face(image: np.ndarray, box: np.ndarray, landmarks: np.ndarray, score: float, longest_side: int) -> Quality:
    """Measure the quality of one face.

    Args:
        image: RGB uint8 (H, W, 3).
        box: (4,) x1 y1 x2 y2 in pixels of the image.
        landmarks: (5, 2) in pixels of the image.
        score: detection score.
        longest_side: of the first pass, in pixels; larger images are shrunk to it.
    """
    return measure_faces([(image, box, landmarks, score)], longest_side)[0]


def measure_faces(
    faces: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, float]], longest_side: int
) -> list[Quality]:
    """Measure the qualities of faces, each given as in `measure_face`."""
    values = measure_sharpness([(image, landmarks) for image, _, landmarks, _ in faces])
    return [
        Quality(
            score=float(score),
            size=_embedded_size(float(box_sizes(np.asarray(box, np.float64)[None])[0]), image, longest_side),
            sharpness=sharpness,
            profile=measure_profile(landmarks),
        )
        for (image, box, landmarks, score), sharpness in zip(faces, values, strict=True)
    ]


def _embedded_size(size: float, image: np.ndarray, longest_side: int) -> float:
    """Return the size at which a face of `size` pixels of the image is embedded, in pixels.

    Sizes above `FULL_WEIGHT_SIZE` are those of the first pass: the octave that embeds such a face is not asked for.
    """
    in_first_pass = size * min(1.0, longest_side / max(image.shape[:2]))
    return in_first_pass if in_first_pass >= SMALL_FACE else min(size, 2.0 * SMALL_FACE)
