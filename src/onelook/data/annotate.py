"""Boxes and landmarks for photos that come without: found by a detector that is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from onelook.data.scene import Face

if TYPE_CHECKING:
    from onelook.model.detections import Detections

Find = Callable[[np.ndarray], "Detections"]
"""Finds the faces of one RGB uint8 photo."""

SMALL = 256
"""A photo whose longer side is under this many pixels is enlarged and given a border."""
BORDER = 0.25
"""Width of that border, as a share of the enlarged photo's longer side."""


@dataclass(frozen=True, eq=False)
class Enlarged:
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


def enlarge(photo: np.ndarray, factor: float) -> Enlarged:
    """A small photo (see SMALL) enlarged by `factor` in a blurred border; a larger one, or any at factor 1, as it is.

    Detectors are trained on heads with something around them; in the ORL photos the head fills the frame.
    """
    height, width = photo.shape[:2]
    if max(height, width) >= SMALL or factor == 1:
        return Enlarged(photo, np.ones(2), 0)
    size = np.array([round(width * factor), round(height * factor)])
    large = cv2.resize(photo, size.tolist(), interpolation=cv2.INTER_CUBIC)
    border = max(1, round(BORDER * int(size.max())))
    bordered = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
    reach = 2 * (border // 2) + 1
    image = cv2.stackBlur(bordered, (reach, reach))  # repeated edge pixels alone make streaks
    image[border:-border, border:-border] = large
    return Enlarged(image, size / (width, height), border)


def annotate(photo: np.ndarray, identity: str, find: Find, *, score: float, upscale: float) -> tuple[Face, ...]:
    """The faces of a photo, the person's first; none where the detector finds none.

    The person is the largest central face: the one with the greatest box area x (1 - d), where d is the distance of
    the box centre from the photo's centre as a share of half the photo's diagonal. All others have no identity.

    Args:
        photo: RGB (height, width, 3) uint8.
        identity: of the person.
        find: the detector.
        score: lowest score of a face.
        upscale: what a small photo is enlarged by for the detector.

    Returns:
        Faces in pixels of `photo`; boxes may reach outside it, where a head is cut by its edge.
    """
    view = enlarge(photo, upscale)
    found = find(view.image).above(score)
    if len(found) == 0:
        return ()
    boxes = view.to_photo(found.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    landmarks = view.to_photo(found.landmarks)
    person = int(np.argmax(_prominence(boxes, photo.shape[1], photo.shape[0])))
    order = [person, *(i for i in range(len(boxes)) if i != person)]
    return tuple(Face(boxes[i], landmarks[i], identity if i == person else None) for i in order)


def _prominence(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(*(centres - (width / 2, height / 2)).T) / (np.hypot(width, height) / 2)
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * np.maximum(1 - distance, 0)
