"""Decode the anchor outputs of an image into faces, with non-maximum suppression (NMS)."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from torch import Tensor

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import decode_boxes, decode_landmarks
from onelook.inference.nms import nms
from onelook.inference.predictor import TOPK_CANDIDATES


class DecodedFaces(NamedTuple):
    """Faces of one image, best score first, in pixels of the network's input.

    boxes: (n, 4; x1 y1 x2 y2) float32. scores: (n,). landmarks: (n, 5, 2). anchor_indices: (n,) int64, the anchor
    that each face was decoded from.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    anchor_indices: np.ndarray


def postprocess_detections(
    outputs: AnchorOutputs, image_index: int, anchors: Tensor, score_thresh: float, nms_thresh: float
) -> DecodedFaces:
    """Filter one image's anchors by score, decode them and apply NMS.

    Args:
        outputs: raw outputs of the detection heads for a batch.
        image_index: index of the image in the batch.
        anchors: (n, 4; center x, center y, width, height) reference boxes that the offsets are relative to.
        score_thresh: lowest face probability.
        nms_thresh: IoU above which the lower-scored of two boxes is dropped.
    """
    logits = outputs.logits[image_index].numpy()
    # The softmax of two logits is the logistic function of their difference, so the threshold is compared as a logit
    # and only the few anchors above it are decoded.
    margins = logits[:, 1] - logits[:, 0]
    candidates = np.flatnonzero(margins >= np.float32(logit(score_thresh)))
    scores = expit(margins[candidates])
    order = np.argsort(-scores, kind="stable")[:TOPK_CANDIDATES]
    candidates, scores = candidates[order], scores[order]
    references = anchors.numpy()[candidates]
    boxes = decode_boxes(outputs.boxes[image_index].numpy()[candidates], references)
    keep = nms(boxes, scores, nms_thresh, score_thresh=score_thresh)
    kept = candidates[keep]
    landmarks = decode_landmarks(outputs.landmarks[image_index].numpy()[kept], references[keep])
    return DecodedFaces(boxes[keep], scores[keep], landmarks, kept)
