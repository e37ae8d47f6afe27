import numpy as np

from onelook.inference.nms import nms


def test_nms_keeps_the_best_of_overlapping_boxes_above_the_score_threshold() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [40, 0, 50, 10], [80, 0, 90, 10]], np.float32)  # IoU 2/3
    scores = np.array([0.5, 0.75, 0.25, 0.125], np.float32)
    assert nms(boxes, scores, 0.6).tolist() == [1, 2, 3]
    assert nms(boxes, scores, 0.7).tolist() == [1, 0, 2, 3]
    assert nms(boxes, scores, 0.6, score_thresh=0.2).tolist() == [1, 2]
    assert nms(boxes[:0], scores[:0], 0.6).shape == (0,)
