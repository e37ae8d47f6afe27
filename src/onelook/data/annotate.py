"""Boxes and landmarks that photos come without: found by a detector that is handed in."""

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
"""Finds the faces of one RGB uint8 photo."""

SMALL = 256
"""A photo whose longer side is under this many pixels is enlarged and given a border."""
BORDER = 0.25
"""Width of that border, as a share of the enlarged photo's longer side."""
OVERLAP = 0.3
"""IoU from which a detection is the labeled face; annotators draw boxes around more of the head than detectors do."""
NEAR = 0.5
"""Mean distance of landmarks up to which it is, as a share of its size; another face's are farther away."""


@dataclass(frozen=True, eq=False)
class UpscaledImage:
    """A photo made fit for a detector.

    Attributes:
        image: RGB (height, width, 3) uint8.
        scale: (2,) float64, pixels of it per pixel of the photo, across and down.
        border: pixels added on each side.
    """

    image: np.ndarray
    scale: np.ndarray
    border: int

    def from_photo(self, points: np.ndarray) -> np.ndarray:
        """Photo pixels to pixels of `image`; points (..., 2) to (..., 2) float32."""
        return (points * self.scale + self.border).astype(np.float32)

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Pixels of `image` to photo pixels; points (..., 2) to (..., 2) float32."""
        return ((points - self.border) / self.scale).astype(np.float32)


def upscale_image(photo: np.ndarray, factor: float) -> UpscaledImage:
    """A small photo (see SMALL) enlarged by `factor` in a blurred border; a larger one, or any at factor 1, as it is.

    Detectors are trained on heads with something around them; in the ORL photos the head fills the frame.
    """
    height, width = photo.shape[:2]
    if max(height, width) >= SMALL or factor == 1:
        return UpscaledImage(photo, np.ones(2), 0)
    size = np.array([round(width * factor), round(height * factor)])
    large = cv2.resize(photo, size.tolist(), interpolation=cv2.INTER_CUBIC)
    border = max(1, round(BORDER * int(size.max())))
    bordered = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
    reach = 2 * (border // 2) + 1
    image = cv2.stackBlur(bordered, (reach, reach))  # repeated edge pixels alone make streaks
    image[border:-border, border:-border] = large
    return UpscaledImage(image, size / (width, height), border)


def annotate(
    photo: np.ndarray, identity: str, find: FaceDetector, *, score: float, upscale: float, label: Face | None = None
) -> tuple[Face, ...]:
    """The faces of a photo, the person's first; none where the person's box or a point stays unknown or is impossible.

    The person is the labeled face; what the label lacks is taken from its detection. Without a label it is the largest
    central face: the one with the greatest box area x (1 - d), where d is the distance of the box center from the
    photo's center as a share of half the photo's diagonal. All others have no identity.

    Args:
        photo: RGB (height, width, 3) uint8.
        identity: of the person.
        find: the detector.
        score: lowest score of a face.
        upscale: what a small photo is enlarged by for the detector.
        label: the person's face, in pixels of `photo`; NaN where something is not known.

    Returns:
        Whole faces, in pixels of `photo`; boxes may reach outside it, where a head is cut by its edge.
    """
    view = upscale_image(photo, upscale)
    found = find(view.image).above(score)
    boxes = view.to_photo(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    landmarks = view.to_photo(found.landmarks)
    faces = [Face(box, points) for box, points in zip(boxes, landmarks, strict=True)]
    height, width = photo.shape[:2]
    if label is not None:
        place = _same(label, faces)
    else:
        place = int(np.argmax(_prominence(boxes, width, height))) if faces else None
    detected = None if place is None else faces.pop(place)
    person = _complete(label, detected)
    if person is None or (label is not None and not _possible(person, width, height)):
        return ()
    return (replace(person, identity=identity), *faces)


def _same(label: Face, faces: Sequence[Face]) -> int | None:
    """Which of the faces is the labeled one: by its points where there are any, else by its box."""
    if not faces:
        return None
    known = np.isfinite(label.landmarks).all(axis=1)
    if known.any():
        apart = [np.linalg.norm(f.landmarks[known] - label.landmarks[known], axis=1).mean() / f.size for f in faces]
        nearest = int(np.argmin(apart))
        return nearest if apart[nearest] <= NEAR else None
    overlaps = pairwise_iou(label.box[None], np.stack([face.box for face in faces]))[0]
    largest = int(np.argmax(overlaps))
    return largest if overlaps[largest] >= OVERLAP else None


def _complete(label: Face | None, detected: Face | None) -> Face | None:
    """The label with what it lacks from the detection; None where something is still lacking."""
    if label is None:
        return detected
    if detected is not None:
        box = label.box if np.isfinite(label.box).all() else detected.box
        known = np.isfinite(label.landmarks).all(axis=1, keepdims=True)
        label = replace(label, box=box, landmarks=np.where(known, label.landmarks, detected.landmarks))
    return label if np.isfinite(label.box).all() and np.isfinite(label.landmarks).all() else None


def _possible(face: Face, width: int, height: int) -> bool:
    """Whether the box reaches into the photo and holds the points' center, and the points are not all in one line."""
    center = face.landmarks.mean(axis=0)
    seen = (face.box[:2] < (width, height)).all() and (face.box[2:] > 0).all()
    held = (face.box[:2] <= center).all() and (center <= face.box[2:]).all()
    length, breadth = np.linalg.svd(face.landmarks - center, compute_uv=False)
    return bool(seen and held and breadth > 0.01 * length)


def _prominence(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(*(centers - (width / 2, height / 2)).T) / (np.hypot(width, height) / 2)
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * np.maximum(1 - distance, 0)
