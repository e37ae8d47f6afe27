"""Non-maximum suppression (NMS) in OpenCV, for the predictors with and without torch."""

import cv2
import numpy as np


def nms(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float, *, score_thresh: float = 0.0) -> np.ndarray:
    """Return the indices (k,) int64 of the boxes that NMS keeps, best score first.

    Args:
        boxes: (n, 4; x1 y1 x2 y2).
        scores: (n,).
        iou_threshold: IoU above which the lower-scored of two boxes is dropped.
        score_thresh: boxes whose score is not above this are dropped too.
    """
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    # OpenCV converts lists faster than arrays.
    keep = cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), score_thresh, iou_threshold)
    return np.asarray(keep, np.int64).reshape(-1)
