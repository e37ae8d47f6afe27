"""Test-time augmentation: multi-scale and flipped detection, merged by box voting.

RetinaFace (Deng et al., arXiv 1905.00641, section 4) is evaluated this way: horizontal flips, several scales, and box
voting at IoU 0.4.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from onelook.detections import Detections
from onelook.geometry.alignment import mirror_landmarks
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.nms import nms
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings


def predict_multiscale(
    predictor: TorchPredictor, image: np.ndarray, detect: DetectSettings, sides: Sequence[int], voting: float
) -> Detections:
    """Detect the faces of an image at several scales, each also flipped, and merge them.

    Args:
        predictor: the network.
        image: RGB uint8 (H, W, 3).
        detect: score threshold and NMS threshold, in each view and for all of them; its longest side is not used.
        sides: longest sides that the image is scaled to, up or down, in pixels.
        voting: lowest IoU of a voting box with the box it votes for (see `box_voting`).

    Returns:
        Detections in pixels of the image, without embeddings.
    """
    views = []
    for side in sides:
        scaled = _scale_to_longest_side(image, side)
        height, width = scaled.shape[:2]
        detect_at_scale = detect.model_copy(update={"longest_side": side})
        flipped_image = np.ascontiguousarray(scaled[:, ::-1])
        plain, flipped = predictor.predict([scaled, flipped_image], detect_at_scale, embed=False)
        ratio = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        for found in (plain, flip_detections(flipped, width)):
            boxes, landmarks = found.boxes * np.tile(ratio, 2), found.landmarks * ratio
            views.append(Detections(boxes, found.scores, landmarks, found.embeddings))
    return box_voting(views, detect.nms, voting)


def box_voting(views: Sequence[Detections], nms_thresh: float, voting: float) -> Detections:
    """Apply NMS to the detections of all views and move each kept box by voting.

    Bounding box voting (Gidaris and Komodakis, "Object detection via a multi-region & semantic segmentation-aware CNN
    model", ICCV 2015). A kept box becomes the mean of all boxes that overlap it enough, weighted by score. Suppressed
    boxes vote too, and a kept box votes for itself. Landmarks move by the same weights; scores do not change.

    Args:
        views: at least one, in pixels of the same image; scores are above 0.
        nms_thresh: IoU above which the lower-scored of two boxes is dropped.
        voting: lowest IoU of a voting box with the kept box.

    Returns:
        Detections, best score first, without embeddings.
    """
    boxes = np.concatenate([view.boxes for view in views])
    scores = np.concatenate([view.scores for view in views])
    landmarks = np.concatenate([view.landmarks for view in views])
    kept = nms(boxes, scores, nms_thresh)
    votes = (pairwise_iou(boxes[kept], boxes) >= voting) * scores
    votes[np.arange(len(kept)), kept] = scores[kept]  # the IoU of an empty box with itself is 0
    votes /= votes.sum(axis=1, keepdims=True)
    return Detections(
        (votes @ boxes).astype(np.float32),
        scores[kept],
        np.einsum("kn,npc->kpc", votes, landmarks).astype(np.float32),
        np.zeros((len(kept), 0), np.float32),
    )


def flip_detections(detections: Detections, width: int) -> Detections:
    """Mirror the detections of an image of `width` pixels horizontally."""
    boxes = detections.boxes[:, [2, 1, 0, 3]]
    boxes[:, [0, 2]] = width - boxes[:, [0, 2]]
    landmarks = mirror_landmarks(detections.landmarks, width)
    return Detections(boxes, detections.scores, landmarks, detections.embeddings)


def _scale_to_longest_side(image: np.ndarray, longest_side: int) -> np.ndarray:
    """Scale an image up or down so that its longest side has `longest_side` pixels."""
    height, width = image.shape[:2]
    factor = longest_side / max(height, width)
    if factor == 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
