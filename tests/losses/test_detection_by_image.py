"""The detection losses of a padded batch equal their twins with loops over images and faces, with their gradients."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.per_image_losses import detection_losses_by_image, match_image, predict_landmarks_by_face
from onelook.data.scene_dataset import pad_faces
from onelook.geometry.anchors import LIGHT_LEVELS, AnchorOutputs, anchors_to_boxes, make_anchors
from onelook.losses.detection import detection_losses, match_anchors, predicted_landmarks
from onelook.settings import MatchThresholds

THRESHOLDS = MatchThresholds(positive=0.45, negative=0.3)
ANCHORS = make_anchors(64, 96, LIGHT_LEVELS).double()
RATIO = 3.0


def random_boxes(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2, dtype=torch.float64) * 80 - 8
    return torch.cat([corners, corners + 4 + torch.rand(count, 2, dtype=torch.float64) * 50], 1)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 80), min_size=1, max_size=3), st.integers(0, 2**31))
def test_losses_and_gradients_equal_those_computed_image_by_image(counts: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    boxes = [random_boxes(count) for count in counts]
    ignored = [random_boxes(count // 2) for count in counts]
    landmarks = [torch.rand(count, 5, 2, dtype=torch.float64) * 64 for count in counts]
    for points in landmarks:
        points[torch.rand(len(points), 5) < 0.2] = torch.nan
    shape = len(counts), len(ANCHORS)
    leaves = [torch.randn(*shape, size, dtype=torch.float64).requires_grad_() for size in (2, 4, 10)]
    outputs = AnchorOutputs(*leaves)
    padded_boxes, padded_ignored = (pad_faces([each.numpy() for each in rows], 0) for rows in (boxes, ignored))
    padded_landmarks = pad_faces([each.numpy() for each in landmarks], torch.nan)

    corners = anchors_to_boxes(ANCHORS)
    matches = match_anchors(corners.expand(len(counts), -1, -1), padded_boxes, THRESHOLDS, padded_ignored)
    faces = [match_image(corners, *rows) for rows in zip(boxes, [THRESHOLDS] * len(boxes), ignored, strict=True)]
    assert matches.faces.equal(torch.stack(faces))

    found = detection_losses(outputs, ANCHORS, matches, padded_boxes, padded_landmarks, RATIO)
    expected = detection_losses_by_image(outputs, ANCHORS, faces, boxes, landmarks, RATIO)
    torch.testing.assert_close(tuple(found), expected, rtol=1e-12, atol=1e-12)
    for gradients in zip(
        torch.autograd.grad(sum(found), leaves), torch.autograd.grad(sum(expected), leaves), strict=True
    ):
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)

    predicted = predicted_landmarks(outputs, ANCHORS.expand(*shape, 4), matches, padded_landmarks)
    for image, count in enumerate(counts):
        by_face = predict_landmarks_by_face(outputs, image, ANCHORS, faces[image], landmarks[image])
        torch.testing.assert_close(predicted[image, :count], by_face, equal_nan=True)
