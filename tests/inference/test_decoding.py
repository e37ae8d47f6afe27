import numpy as np
import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_boxes, encode_landmarks
from onelook.inference.decoding import postprocess_detections


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
