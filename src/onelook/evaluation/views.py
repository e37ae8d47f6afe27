"""Test-time augmentation: a photo looked at in several sizes and in the mirror, as published detectors are measured."""

from collections.abc import Sequence

import cv2
import numpy as np

from onelook.evaluation.voting import merge_by_voting
from onelook.geometry.alignment import mirror_landmarks
from onelook.model.detections import Detections
from onelook.model.look import Looker
from onelook.settings import Detect


def look_in_views(looker: Looker, photo: np.ndarray, detect: Detect, sides: Sequence[int], voting: float) -> Detections:
    """Find the faces of a photo in several sizes, each as it is and mirrored.

    RetinaFace (Deng et al. 2019, section 4) is measured so: flips, several scales, box voting at IoU 0.4.

    Args:
        looker: the network.
        photo: RGB uint8 (H, W, 3).
        detect: lowest score and suppression IoU, in each view and among them; its longest side is not used.
        sides: longest sides the photo is scaled to, up or down, in pixels.
        voting: lowest IoU of a box with the one it votes for (see `merge_by_voting`).

    Returns:
        Detections in pixels of the photo, without embeddings.
    """
    views = []
    for side in sides:
        scaled = _scale(photo, side)
        height, width = scaled.shape[:2]
        at_this_size = detect.model_copy(update={"longest_side": side})
        plain, mirrored = looker.look([scaled, np.ascontiguousarray(scaled[:, ::-1])], at_this_size, embed=False)
        ratio = np.array([photo.shape[1] / width, photo.shape[0] / height], np.float32)
        for found in (plain, mirror_detections(mirrored, width)):
            boxes, landmarks = found.boxes * np.tile(ratio, 2), found.landmarks * ratio
            views.append(Detections(boxes, found.scores, landmarks, found.embeddings))
    return merge_by_voting(views, detect.nms, voting)


def mirror_detections(found: Detections, width: int) -> Detections:
    """What was found in a photo of `width` pixels as it lies in the photo's mirror image."""
    boxes = found.boxes[:, [2, 1, 0, 3]]
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    return Detections(boxes, found.scores, mirror_landmarks(found.landmarks, width), found.embeddings)


def _scale(photo: np.ndarray, longest_side: int) -> np.ndarray:
    height, width = photo.shape[:2]
    factor = longest_side / max(height, width)
    if factor == 1:
        return photo
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
