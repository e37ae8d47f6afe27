"""Test-time augmentation: a photo looked at in several sizes and in the mirror, as published detectors are measured."""

from collections.abc import Sequence

import cv2
import numpy as np

from onelook.detections import Detections
from onelook.geometry.alignment import mirror_landmarks
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings


def box_voting(views: Sequence[Detections], nms: float, voting: float) -> Detections:
    """Suppress doubles among what all views found, then move each kept box to where the views say it is.

    Bounding box voting (Gidaris and Komodakis, "Object detection via a multi-region & semantic segmentation-aware CNN
    model", ICCV 2015): the kept box becomes the mean of all that overlap it enough, each weighted by its score. Those
    suppressed vote too, and the kept one for itself; landmarks move by the same votes, the score stays.

    Args:
        views: at least one, in pixels of the same photo; scores are above 0.
        nms: IoU above which the lower-scored of two boxes is dropped.
        voting: lowest IoU of a voter with the kept box.

    Returns:
        Best score first, without embeddings.
    """
    boxes = np.concatenate([view.boxes for view in views])
    scores = np.concatenate([view.scores for view in views])
    landmarks = np.concatenate([view.landmarks for view in views])
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = np.asarray(cv2.dnn.NMSBoxes(corner_and_size, scores, 0.0, nms), np.int64)  # type: ignore[arg-type]
    votes = (pairwise_iou(boxes[kept], boxes) >= voting) * scores
    votes[np.arange(len(kept)), kept] = scores[kept]  # an empty box overlaps nothing, not even itself
    votes /= votes.sum(axis=1, keepdims=True)
    return Detections(
        (votes @ boxes).astype(np.float32),
        scores[kept],
        np.einsum("kn,npc->kpc", votes, landmarks).astype(np.float32),
        np.zeros((len(kept), 0), np.float32),
    )


def predict_multiscale(
    looker: TorchPredictor, photo: np.ndarray, detect: DetectSettings, sides: Sequence[int], voting: float
) -> Detections:
    """Find the faces of a photo in several sizes, each as it is and mirrored.

    RetinaFace (Deng et al. 2019, section 4) is measured so: flips, several scales, box voting at IoU 0.4.

    Args:
        looker: the network.
        photo: RGB uint8 (H, W, 3).
        detect: lowest score and suppression IoU, in each view and among them; its longest side is not used.
        sides: longest sides the photo is scaled to, up or down, in pixels.
        voting: lowest IoU of a box with the one it votes for (see `box_voting`).

    Returns:
        Detections in pixels of the photo, without embeddings.
    """
    views = []
    for side in sides:
        scaled = _scale(photo, side)
        height, width = scaled.shape[:2]
        at_this_size = detect.model_copy(update={"longest_side": side})
        plain, mirrored = looker.predict([scaled, np.ascontiguousarray(scaled[:, ::-1])], at_this_size, embed=False)
        ratio = np.array([photo.shape[1] / width, photo.shape[0] / height], np.float32)
        for found in (plain, mirror_detections(mirrored, width)):
            boxes, landmarks = found.boxes * np.tile(ratio, 2), found.landmarks * ratio
            views.append(Detections(boxes, found.scores, landmarks, found.embeddings))
    return box_voting(views, detect.nms, voting)


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
