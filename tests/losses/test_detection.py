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


def outputs(logits: list[list[float]]) -> AnchorOutputs:
    return AnchorOutputs(torch.tensor([logits]), torch.zeros(1, 4, 4), torch.zeros(1, 4, 10))


def test_classification_counts_the_positive_and_the_hardest_negatives_only() -> None:
    match = Matches(torch.tensor([0, BACKGROUND, BACKGROUND, IGNORED]))
    given = outputs([[0.0, 0.0], [0.0, 2.0], [5.0, 0.0], [0.0, 9.0]])
    losses = detection_losses(given, ANCHORS, [match], [FACE], [POINTS], negatives_per_positive=1)
    # The positive at even odds costs log 2; the harder negative says "face" by 2; the ignored one is free.
    assert losses.classification.item() == torch.tensor(math.log(2) + math.log(1 + math.exp(2))).item()


def test_box_and_landmark_losses_by_hand() -> None:
    match = Matches(torch.tensor([0, BACKGROUND, BACKGROUND, BACKGROUND]))
    given = outputs([[0.0, 0.0]] * 4)
    shifted = torch.tensor([[0.3, 0.0, 10.3, 10.0]])
    losses = detection_losses(given, ANCHORS, [match], [shifted], [POINTS], negatives_per_positive=3)
    # Offset 0.3 of 10 * 0.1 is 0.3: smooth-L1 0.3^2 / 2.
    torch.testing.assert_close(losses.box, torch.tensor(0.045), atol=1e-6, rtol=0)
    # Points at offsets (-3, -2), (3, -2), (0, 0), (-2, 3), (2, 3): |x| - 0.5 each.
    torch.testing.assert_close(losses.landmarks, torch.tensor(4 * 2.5 + 4 * 1.5), atol=1e-5, rtol=0)


def test_a_perfect_answer_costs_nothing() -> None:
    match = Matches(torch.tensor([0, BACKGROUND, BACKGROUND, BACKGROUND]))
    given = AnchorOutputs(
        torch.tensor([[[-50.0, 50.0], [50.0, -50.0], [50.0, -50.0], [50.0, -50.0]]]),
        encode_boxes(FACE, ANCHORS[:1]).expand(1, 4, 4),
        encode_landmarks(POINTS, ANCHORS[:1]).expand(1, 4, 10),
    )
    assert sum(detection_losses(given, ANCHORS, [match], [FACE], [POINTS], 3)).item() < 1e-6


def test_absent_landmarks_cost_nothing_and_give_finite_gradients() -> None:
    match = Matches(torch.tensor([0, BACKGROUND, BACKGROUND, BACKGROUND]))
    points = torch.zeros(1, 4, 10, requires_grad=True)
    given = AnchorOutputs(torch.zeros(1, 4, 2), torch.zeros(1, 4, 4), points)
    losses = detection_losses(given, ANCHORS, [match], [FACE], [torch.full((1, 5, 2), torch.nan)], 3)
    losses.landmarks.backward()
    assert losses.landmarks.item() == 0
    assert points.grad is not None and bool((points.grad == 0).all())


def test_a_batch_without_faces_trains_background_only() -> None:
    match = Matches(torch.full((4,), BACKGROUND))
    given = outputs([[0.0, 0.0], [0.0, 3.0], [0.0, 1.0], [0.0, 2.0]])
    losses = detection_losses(given, ANCHORS, [match], [torch.zeros(0, 4)], [torch.zeros(0, 5, 2)], 2)
    hardest = math.log(1 + math.exp(3)) + math.log(1 + math.exp(2))
    torch.testing.assert_close(losses.classification, torch.tensor(hardest))
    assert losses.box.item() == 0 and losses.landmarks.item() == 0


def test_the_points_that_a_face_has_are_trained() -> None:
    """Offsets (-3, -2), (3, -2), (0, 0) of the eyes and nose cost 2.5 + 1.5 for each eye and nothing for the nose."""
    match = Matches(torch.tensor([0, 1, BACKGROUND, BACKGROUND]))
    partly, none = POINTS.clone(), torch.full((1, 5, 2), torch.nan)
    partly[0, 3:] = torch.nan
    boxes = torch.cat([FACE, FACE + 45])

    def landmarks(*points: torch.Tensor) -> float:
        given = outputs([[0.0, 0.0]] * 4)
        return detection_losses(given, ANCHORS, [match], [boxes], [torch.cat(points)], 3).landmarks.item()

    assert math.isclose(landmarks(partly, none), 8 / 1, rel_tol=1e-5)  # 3 points are counted as one face at least
    second = POINTS + 45
    whole = 4 * 2.5 + 4 * 1.5
    assert math.isclose(landmarks(partly, second), (8 + whole) / (8 / 5), rel_tol=1e-5)
    assert math.isclose(landmarks(POINTS, second), whole, rel_tol=1e-5)


def test_absent_points_have_no_gradient_and_the_others_have() -> None:
    match = Matches(torch.tensor([0, BACKGROUND, BACKGROUND, BACKGROUND]))
    points = torch.zeros(1, 4, 10, requires_grad=True)
    partly = POINTS.clone()
    partly[0, [1, 4]] = torch.nan
    given = AnchorOutputs(torch.zeros(1, 4, 2), torch.zeros(1, 4, 4), points)
    detection_losses(given, ANCHORS, [match], [FACE], [partly], 3).landmarks.backward()
    assert points.grad is not None
    moved = points.grad.view(4, 5, 2)[0].abs().sum(-1) > 0
    assert moved.tolist() == [True, False, False, True, False]  # the nose is right already
    assert bool((points.grad[0, 1:] == 0).all())
