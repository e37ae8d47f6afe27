import numpy as np
import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_boxes, encode_landmarks
from onelook.inference.decoding import nms, postprocess_detections


def test_overlapping_detections_are_suppressed_and_sorted_by_score() -> None:
    anchors = torch.tensor([[20.0, 20.0, 16.0, 16.0], [21.0, 20.0, 16.0, 16.0], [80.0, 80.0, 32.0, 32.0]])
    boxes = torch.tensor([[10.0, 10.0, 30.0, 30.0], [11.0, 10.0, 31.0, 30.0], [60.0, 60.0, 100.0, 100.0]])
    points = torch.rand(3, 5, 2) * 50
    logits = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 3.0]])
    outputs = AnchorOutputs(logits[None], encode_boxes(boxes, anchors)[None], encode_landmarks(points, anchors)[None])
    faces = postprocess_detections(outputs, 0, anchors, score_thresh=0.5, nms_thresh=0.4)
    np.testing.assert_allclose(faces.boxes, boxes[[2, 0]], rtol=1e-5)
    np.testing.assert_allclose(faces.scores, torch.sigmoid(torch.tensor([3.0, 2.0])), rtol=1e-6)
    np.testing.assert_allclose(faces.landmarks, points[[2, 0]], rtol=1e-5)
    assert faces.anchor_indices.tolist() == [2, 0]
    assert len(postprocess_detections(outputs, 0, anchors, score_thresh=0.97, nms_thresh=0.4).boxes) == 0


def test_nms_keeps_the_best_of_overlapping_boxes_above_the_score_threshold() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [40, 0, 50, 10], [80, 0, 90, 10]], np.float32)  # IoU 2/3
    scores = np.array([0.5, 0.75, 0.25, 0.125], np.float32)
    assert nms(boxes, scores, 0.6).tolist() == [1, 2, 3]
    assert nms(boxes, scores, 0.7).tolist() == [1, 0, 2, 3]
    assert nms(boxes, scores, 0.6, score_thresh=0.2).tolist() == [1, 2]
    assert nms(boxes[:0], scores[:0], 0.6).shape == (0,)
