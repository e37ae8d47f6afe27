"""Faces found in several views of one photo become one set: suppression, then box voting."""

from collections.abc import Sequence

import cv2
import numpy as np

from onelook.geometry.overlap import pairwise_iou
from onelook.model.detections import Detections


def merge_by_voting(views: Sequence[Detections], nms: float, voting: float) -> Detections:
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
