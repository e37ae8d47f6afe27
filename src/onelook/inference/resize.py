"""Photos of any sizes shown to a network: scaled down where they are too large, one batch for each size."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from onelook.detections import Detections


def predict_by_size(
    photos: Sequence[np.ndarray], longest_side: int, predict: Callable[[np.ndarray], list[Detections]]
) -> list[Detections]:
    """Detections per photo, in pixels of the photo as given.

    Args:
        photos: RGB uint8 (H, W, 3), of any sizes.
        longest_side: photos larger than this are scaled down to it, in pixels.
        look: gives the detections of each photo of a batch (B, H, W, 3), in pixels of the batch.
    """
    scaled = [resize_to_longest_side(photo, longest_side) for photo in photos]
    same_size = defaultdict(list)
    for i, photo in enumerate(scaled):
        same_size[photo.shape].append(i)
    found: dict[int, Detections] = {}
    for members in same_size.values():
        # One photo is a batch as it is; several have to be copied beside each other.
        batch = scaled[members[0]][None] if len(members) == 1 else np.stack([scaled[i] for i in members])
        results = predict(batch)
        for i, detections in zip(members, results, strict=True):
            found[i] = _enlarge(detections, scaled[i], photos[i])
    return [found[i] for i in range(len(photos))]


def resize_to_longest_side(photo: np.ndarray, longest_side: int) -> np.ndarray:
    """A photo (H, W, 3) as the network sees it: no side longer than `longest_side` pixels."""
    height, width = photo.shape[:2]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return photo
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(photo, shape, interpolation=cv2.INTER_AREA)


def _enlarge(detections: Detections, shown: np.ndarray, photo: np.ndarray) -> Detections:
    """From pixels of the scaled photo to pixels of the photo as given."""
    if shown is photo:
        return detections
    ratio = np.array([photo.shape[1] / shown.shape[1], photo.shape[0] / shown.shape[0]], np.float32)
    # Depth, which no side of the photo measures, grows as its width does: the two differ by less than a pixel.
    meshes = None if detections.meshes is None else detections.meshes * ratio[[0, 1, 0]]
    boxes, landmarks = detections.boxes * np.tile(ratio, 2), detections.landmarks * ratio
    return Detections(boxes, detections.scores, landmarks, detections.embeddings, meshes)
