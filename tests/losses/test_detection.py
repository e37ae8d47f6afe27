import math

import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_boxes, encode_landmarks
from onelook.losses.detection import BACKGROUND, IGNORED, Matches, detection_losses

ANCHORS = torch.tensor(
    [[5.0, 5.0, 10.0, 10.0], [50.0, 50.0, 10.0, 10.0], [80.0, 80.0, 10.0, 10.0], [20.0, 20.0, 10.0, 10.0]]
)
FACE = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
POINTS = torch.tensor([[[2.0, 3.0], [8.0, 3.0], [5.0, 5.0], [3.0, 8.0], [7.0, 8.0]]])


def make_outputs(logits: list[list[float]]) -> AnchorOutputs:
    return AnchorOutputs(torch.tensor([logits]), torch.zeros(1, 4, 4), torch.zeros(1, 4, 10))


def test_ohem_takes_the_positive_and_the_hardest_negative() -> None:
    match = Matches(torch.tensor([[0, BACKGROUND, BACKGROUND, IGNORED]]))
    outputs = make_outputs([[0.0, 0.0], [0.0, 2.0], [5.0, 0.0], [0.0, 9.0]])
    losses = detection_losses(outputs, ANCHORS, match, FACE[None], POINTS[None], negatives_per_positive=1)
    # The positive has loss log 2 at even odds, the harder negative a face logit of 2; the ignored anchor is left out.
    assert losses.classification.item() == torch.tensor(math.log(2) + math.log(1 + math.exp(2))).item()


def test_box_and_landmark_losses_by_hand() -> None:
    match = Matches(torch.tensor([[0, BACKGROUND, BACKGROUND, BACKGROUND]]))
    outputs = make_outputs([[0.0, 0.0]] * 4)
    shifted = torch.tensor([[0.3, 0.0, 10.3, 10.0]])
    losses = detection_losses(outputs, ANCHORS, match, shifted[None], POINTS[None], negatives_per_positive=3)
    # Offset 0.3 of 10 * 0.1 is 0.3: smooth-L1 0.3^2 / 2.
    torch.testing.assert_close(losses.box, torch.tensor(0.045), atol=1e-6, rtol=0)
    # Points at offsets (-3, -2), (3, -2), (0, 0), (-2, 3), (2, 3): |x| - 0.5 each.
    torch.testing.assert_close(losses.landmarks, torch.tensor(4 * 2.5 + 4 * 1.5), atol=1e-5, rtol=0)


def test_perfect_outputs_have_no_loss() -> None:
    match = Matches(torch.tensor([[0, BACKGROUND, BACKGROUND, BACKGROUND]]))
    outputs = AnchorOutputs(
        torch.tensor([[[-50.0, 50.0], [50.0, -50.0], [50.0, -50.0], [50.0, -50.0]]]),
        encode_boxes(FACE, ANCHORS[:1]).expand(1, 4, 4),
        encode_landmarks(POINTS, ANCHORS[:1]).expand(1, 4, 10),
    )
    assert sum(detection_losses(outputs, ANCHORS, match, FACE[None], POINTS[None], 3)).item() < 1e-6


def test_missing_landmarks_have_no_loss_and_finite_gradients() -> None:
    match = Matches(torch.tensor([[0, BACKGROUND, BACKGROUND, BACKGROUND]]))
    offsets = torch.zeros(1, 4, 10, requires_grad=True)
    outputs = AnchorOutputs(torch.zeros(1, 4, 2), torch.zeros(1, 4, 4), offsets)
    losses = detection_losses(outputs, ANCHORS, match, FACE[None], torch.full((1, 1, 5, 2), torch.nan), 3)
    losses.landmarks.backward()
    assert losses.landmarks.item() == 0
    assert offsets.grad is not None and bool((offsets.grad == 0).all())


def test_a_batch_without_faces_has_the_loss_of_hard_negatives_alone() -> None:
    match = Matches(torch.full((1, 4), BACKGROUND))
    outputs = make_outputs([[0.0, 0.0], [0.0, 3.0], [0.0, 1.0], [0.0, 2.0]])
    losses = detection_losses(outputs, ANCHORS, match, torch.zeros(1, 1, 4), torch.full((1, 1, 5, 2), torch.nan), 2)
    hardest = math.log(1 + math.exp(3)) + math.log(1 + math.exp(2))
    torch.testing.assert_close(losses.classification, torch.tensor(hardest))
    assert losses.box.item() == 0 and losses.landmarks.item() == 0


def test_labeled_points_of_partly_labeled_faces_are_trained() -> None:
    """Offsets (-3, -2), (3, -2) and (0, 0) of eyes and nose: a loss of 2.5 + 1.5 for each eye, 0 for the nose."""
    match = Matches(torch.tensor([[0, 1, BACKGROUND, BACKGROUND]]))
    partial, missing = POINTS.clone(), torch.full((1, 5, 2), torch.nan)
    partial[0, 3:] = torch.nan
    boxes = torch.cat([FACE, FACE + 45])

    def landmark_loss(*points: torch.Tensor) -> float:
        outputs = make_outputs([[0.0, 0.0]] * 4)
        return detection_losses(outputs, ANCHORS, match, boxes[None], torch.cat(points)[None], 3).landmarks.item()

    assert math.isclose(landmark_loss(partial, missing), 8 / 1, rel_tol=1e-5)  # three points count as one face
    second = POINTS + 45
    complete = 4 * 2.5 + 4 * 1.5
    assert math.isclose(landmark_loss(partial, second), (8 + complete) / (8 / 5), rel_tol=1e-5)
    assert math.isclose(landmark_loss(POINTS, second), complete, rel_tol=1e-5)


def test_only_labeled_points_have_a_gradient() -> None:
    match = Matches(torch.tensor([[0, BACKGROUND, BACKGROUND, BACKGROUND]]))
    offsets = torch.zeros(1, 4, 10, requires_grad=True)
    partial = POINTS.clone()
    partial[0, [1, 4]] = torch.nan
    outputs = AnchorOutputs(torch.zeros(1, 4, 2), torch.zeros(1, 4, 4), offsets)
    detection_losses(outputs, ANCHORS, match, FACE[None], partial[None], 3).landmarks.backward()
    assert offsets.grad is not None
    has_gradient = offsets.grad.view(4, 5, 2)[0].abs().sum(-1) > 0
    assert has_gradient.tolist() == [True, False, False, True, False]  # the nose is at its target already
    assert bool((offsets.grad[0, 1:] == 0).all())
