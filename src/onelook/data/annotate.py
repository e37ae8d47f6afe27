"""Annotation: complete the labels of a photo's person with a face detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from onelook.data.manifest import Face
from onelook.geometry.boxes import pairwise_iou

if TYPE_CHECKING:
    from onelook.detections import Detections

FaceDetector = Callable[[np.ndarray], "Detections"]
"""Maps an RGB uint8 image (height, width, 3) to its detections."""

UPSCALE_BELOW = 256
"""An image whose longer side is under this many pixels is upscaled and given a border."""
BORDER_FRACTION = 0.25
"""Width of that border, as a fraction of the upscaled image's longer side."""
MIN_IOU = 0.3
"""Lowest IoU of a detection and the labeled box it matches; annotators' boxes hold more of the head than detectors'."""
MAX_LANDMARK_DISTANCE = 0.5
"""Largest mean distance of a detection's landmarks from the labeled ones it matches, as a fraction of its size."""


@dataclass(frozen=True, eq=False)
class UpscaledImage:
    """Image as given to the detector, with its mapping to the original.

    Attributes:
        image: RGB (height, width, 3) uint8.
        scale: (2,) float64, pixels of `image` per original pixel, in x and y.
        border: pixels added on each side.
    """

    image: np.ndarray
    scale: np.ndarray
    border: int

    def from_original(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 2) in original pixels to pixels of `image`, float32."""
        return (points * self.scale + self.border).astype(np.float32)

    def to_original(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 2) in pixels of `image` to original pixels, float32."""
        return ((points - self.border) / self.scale).astype(np.float32)


def upscale_image(image: np.ndarray, factor: float) -> UpscaledImage:
    """Upscale a small image by `factor` and add a blurred border.

    An image of `UPSCALE_BELOW` pixels or more, or any at factor 1, is returned unchanged. The border helps because
    detectors are trained on heads with surroundings, and in the ORL photos the head fills the frame.
    """
    height, width = image.shape[:2]
    if max(height, width) >= UPSCALE_BELOW or factor == 1:
        return UpscaledImage(image, np.ones(2), 0)
    size = np.array([round(width * factor), round(height * factor)])
    upscaled = cv2.resize(image, size.tolist(), interpolation=cv2.INTER_CUBIC)
    border = max(1, round(BORDER_FRACTION * int(size.max())))
    bordered = cv2.copyMakeBorder(upscaled, border, border, border, border, cv2.BORDER_REPLICATE)
    kernel_size = 2 * (border // 2) + 1
    blurred = cv2.stackBlur(bordered, (kernel_size, kernel_size))  # without blur, repeated edge pixels make streaks
    blurred[border:-border, border:-border] = upscaled
    return UpscaledImage(blurred, size / (width, height), border)


def annotate(
    image: np.ndarray,
    identity: str,
    detect_faces: FaceDetector,
    *,
    score: float,
    upscale: float,
    label: Face | None = None,
) -> tuple[Face, ...]:
    """Return the faces of a photo of one person, the person's face first.

    - With a label, the person is the labeled face; the detection that matches it fills in what the label lacks.
    - Without a label, the person is the most prominent face: the one with the greatest box area x (1 - d). Here d is
      the distance of the box center from the image center, as a fraction of half the image's diagonal.
    - All other faces have no identity.

    Args:
        image: RGB (height, width, 3) uint8.
        identity: name of the person.
        detect_faces: the detector.
        score: lowest score of a face.
        upscale: factor that upscales a small image for the detector.
        label: the person's face in pixels of `image`; NaN where unlabeled.

    Returns:
        Faces with box and five landmarks, in pixels of `image`; a box may reach outside it. Empty if the person's box
        or a landmark is missing or implausible.
    """
    view = upscale_image(image, upscale)
    detected = detect_faces(view.image).above(score)
    boxes = view.to_original(detected.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    landmarks = view.to_original(detected.landmarks)
    faces = [Face(box, points) for box, points in zip(boxes, landmarks, strict=True)]
    height, width = image.shape[:2]
    index = _match_label(label, faces) if label is not None else most_prominent(boxes, width, height)
    detection = None if index is None else faces.pop(index)
    person = _fill_label(label, detection)
    if person is None or (label is not None and not _is_plausible(person, width, height)):
        return ()
    return (replace(person, identity=identity), *faces)


def most_prominent(boxes: np.ndarray, width: int, height: int) -> int | None:
    """Return the index of the most prominent of boxes (n, 4) in an image of this size; None without a box.

    It has the greatest area x (1 - d), see `annotate`.
    """
    return int(np.argmax(_prominence(boxes, width, height))) if len(boxes) else None


def _match_label(label: Face, faces: Sequence[Face]) -> int | None:
    """Return the index of the labeled face, by landmarks if labeled, else by IoU."""
    if not faces:
        return None
    is_labeled = np.isfinite(label.landmarks).all(axis=1)
    if is_labeled.any():
        points = label.landmarks[is_labeled]
        distances = [np.linalg.norm(f.landmarks[is_labeled] - points, axis=1).mean() / f.size for f in faces]
        nearest = int(np.argmin(distances))
        return nearest if distances[nearest] <= MAX_LANDMARK_DISTANCE else None
    ious = pairwise_iou(label.box[None], np.stack([face.box for face in faces]))[0]
    best = int(np.argmax(ious))
    return best if ious[best] >= MIN_IOU else None


def _fill_label(label: Face | None, detection: Face | None) -> Face | None:
    """Fill in a label's missing values from a detection; return None if some remain."""
    if label is None:
        return detection
    if detection is not None:
        box = label.box if np.isfinite(label.box).all() else detection.box
        is_labeled = np.isfinite(label.landmarks).all(axis=1, keepdims=True)
        label = replace(label, box=box, landmarks=np.where(is_labeled, label.landmarks, detection.landmarks))
    return label if np.isfinite(label.box).all() and np.isfinite(label.landmarks).all() else None


def _is_plausible(face: Face, width: int, height: int) -> bool:
    """Return True if the box overlaps the image and its landmarks fit.

    Their mean must lie in the box, and they must not be collinear.
    """
    center = face.landmarks.mean(axis=0)
    overlaps_image = (face.box[:2] < (width, height)).all() and (face.box[2:] > 0).all()
    holds_landmarks = (face.box[:2] <= center).all() and (center <= face.box[2:]).all()
    length, breadth = np.linalg.svd(face.landmarks - center, compute_uv=False)
    return bool(overlaps_image and holds_landmarks and breadth > 0.01 * length)


def _prominence(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Compute area x (1 - relative distance from the image center) of boxes (n, 4)."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(*(centers - (width / 2, height / 2)).T) / (np.hypot(width, height) / 2)
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * np.maximum(1 - distance, 0)
