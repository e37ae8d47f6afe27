"""Decode the anchor outputs of an image into faces and suppress duplicates (NMS)."""

import cv2
import numpy as np
from scipy.special import expit, logit
from torch import Tensor

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_boxes, decode_landmarks

# More candidates than this before suppression means a photo of noise, not of faces.
MAX_CANDIDATES = 5000


def decode_image_outputs(
    outputs: AnchorOutputs, image: int, anchors: Tensor, score: float, nms: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Decode one image's outputs from what they start from, anchors (n, 4), and suppress doubles.

    Returns:
        boxes (n, 4), scores (n,) and landmarks (n, 5, 2), best score first, in pixels of the network's input, and the
        anchors (n,) int64 that they come from.
    """
    logits = outputs.logits[image].numpy()
    # Most anchors see no face: the few that may are found before anything else is computed. Of two logits the softmax
    # is the logistic function of their difference.
    margins = logits[:, 1] - logits[:, 0]
    candidates = np.flatnonzero(margins >= np.float32(logit(score)))
    scores = expit(margins[candidates])
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    candidates, scores = candidates[order], scores[order]
    starts = anchors.numpy()[candidates]
    boxes = decode_boxes(outputs.boxes[image].numpy()[candidates], starts)
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    # OpenCV takes numbers out of lists sooner than out of an array.
    keep = cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), score, nms)
    rows = np.asarray(keep, np.int64).reshape(-1)
    kept = candidates[rows]
    landmarks = decode_landmarks(outputs.landmarks[image].numpy()[kept], starts[rows])
    return boxes[rows], scores[rows], landmarks, kept
