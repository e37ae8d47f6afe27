from math import exp, log

import pytest
import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_landmarks, refine_anchors
from onelook.losses.detection import BACKGROUND, IGNORED, CascadeStage, Matches, cascade_losses, predicted_landmarks
from onelook.settings import MatchThresholds

ANCHORS = torch.tensor([[20.0, 20.0, 16.0, 16.0], [22.0, 20.0, 16.0, 16.0], [70.0, 70.0, 16.0, 16.0]])
LABELED = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0)) * 40


def make_outputs(logits: list[list[float]], points: torch.Tensor) -> AnchorOutputs:
    return AnchorOutputs(torch.tensor([logits]), torch.zeros(1, 3, 4), encode_landmarks(points, ANCHORS)[None])


def test_predicted_landmarks_are_those_of_the_best_scored_anchor() -> None:
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(1)) * 40
    match = Matches(torch.tensor([[0, 0, BACKGROUND]]))
    outputs = make_outputs([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]], points)
    landmarks = predicted_landmarks(outputs, ANCHORS[None], match, LABELED[None])[0]
    torch.testing.assert_close(landmarks[0], points[1])
    torch.testing.assert_close(landmarks[1], LABELED[1])


def test_losses_have_the_names_of_their_weights_and_lwf_is_zero_without_a_teacher() -> None:
    points = torch.zeros(3, 5, 2)
    boxes, landmarks = torch.tensor([[[12.0, 12.0, 28.0, 28.0]]]), LABELED[None, :1]
    thresholds = MatchThresholds(positive=0.5, negative=0.3)
    outputs = make_outputs([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]], points)
    stages = [CascadeStage(outputs, ANCHORS, thresholds)]
    losses, matches = cascade_losses(stages, None, boxes, landmarks, 1)
    assert losses.keys() == {"classification", "box", "landmarks", "lwf"} and losses["lwf"].item() == 0
    assert matches.faces[0].tolist() == [0, 0, BACKGROUND]
    teacher = make_outputs([[0.0, 1.0], [0.0, 0.0], [0.0, 9.0]], points)
    assert cascade_losses(stages, [teacher], boxes, landmarks, 1)[0]["lwf"].item() > 0


# One face, 20 pixels wide, and four anchors of IoU 1, .6, .4 and 0.
FACE = torch.tensor([[[10.0, 10.0, 30.0, 30.0]]])
NO_LANDMARKS = torch.full((1, 1, 5, 2), torch.nan)
FOUR_ANCHORS = torch.tensor(
    [[20.0, 20.0, 20.0, 20.0], [20.0, 16.0, 20.0, 12.0], [20.0, 14.0, 20.0, 8.0], [80.0, 80.0, 20.0, 20.0]]
)
CASCADE = (MatchThresholds(positive=0.7, negative=0.3), MatchThresholds(positive=0.5, negative=0.4))


def make_stage_outputs(face_logits: list[float], boxes: torch.Tensor | None = None) -> AnchorOutputs:
    """Make the outputs of a stage for the four anchors, with box offsets (4, 4) or 0."""
    logits = torch.tensor([[0.0, logit] for logit in face_logits])[None]
    offsets = torch.zeros(1, 4, 4) if boxes is None else boxes[None].clone()
    return AnchorOutputs(logits, offsets.requires_grad_(), torch.zeros(1, 4, 10))


def test_each_stage_is_matched_by_its_own_thresholds() -> None:
    first, second = make_stage_outputs([0.0, 5.0, 5.0, 1.0]), make_stage_outputs([0.0, 0.0, 5.0, 1.0])
    stages = [
        CascadeStage(first, FOUR_ANCHORS, CASCADE[0]),
        CascadeStage(second, refine_anchors(first.boxes, FOUR_ANCHORS), CASCADE[1]),
    ]
    single = [cascade_losses([stage], None, FACE, NO_LANDMARKS, 3)[0]["classification"].item() for stage in stages]
    positive, negative = log(2), log(1 + exp(1))
    # First stage: a face, two ignored, background. Second: two faces, one ignored at .4, background.
    assert single == pytest.approx([positive + negative, (2 * positive + negative) / 2], rel=1e-5)
    losses, matches = cascade_losses(stages, None, FACE, NO_LANDMARKS, 3)
    assert losses["classification"].item() == pytest.approx(sum(single), rel=1e-5)
    assert matches.faces[0].tolist() == [0, 0, IGNORED, BACKGROUND]


def test_the_second_stage_is_matched_with_and_regresses_from_the_boxes_of_the_first() -> None:
    """The first stage moves the anchor of IoU 0 to 2 pixels from the face, which is the target of the second."""
    moved = torch.zeros(4, 4)
    moved[3, :2] = torch.tensor([-29.0, -30.0])  # tenths of 20 pixels
    first = make_stage_outputs([0.0] * 4, moved)
    refined = refine_anchors(first.boxes, FOUR_ANCHORS)
    assert refined[0, 3].tolist() == [22, 20, 20, 20]
    second = make_stage_outputs([0.0] * 4)
    losses, matches = cascade_losses([CascadeStage(second, refined, CASCADE[1])], None, FACE, NO_LANDMARKS, 3)
    assert matches.faces[0].tolist() == [0, 0, IGNORED, 0]
    # Anchor 1 differs in height, log(20 / 12) / .2, and center, 4 / 1.2; anchor 3 by the 2 pixels, one offset of 1.
    expected = (log(20 / 12) / 0.2 - 0.5) + (4 / 1.2 - 0.5) + 0.5
    assert losses["box"].item() == pytest.approx(expected / 3, rel=1e-4)


def test_the_second_stage_has_no_gradient_for_the_first() -> None:
    first, second = make_stage_outputs([0.0] * 4), make_stage_outputs([0.0] * 4)
    stages = [CascadeStage(second, refine_anchors(first.boxes, FOUR_ANCHORS), CASCADE[1])]
    cascade_losses(stages, None, FACE, NO_LANDMARKS, 3)[0]["box"].backward()
    assert first.boxes.grad is None and second.boxes.grad is not None and bool(second.boxes.grad.any())


def test_lwf_compares_each_stage_with_its_teacher() -> None:
    near, far = make_stage_outputs([3.0, 0.0, 0.0, -9.0]), make_stage_outputs([0.0, 3.0, 0.0, -9.0])
    stages = [CascadeStage(near, FOUR_ANCHORS, CASCADE[0]), CascadeStage(far, FOUR_ANCHORS, CASCADE[1])]

    def lwf(*teachers: AnchorOutputs) -> float:
        return cascade_losses(stages, teachers, FACE, NO_LANDMARKS, 3)[0]["lwf"].item()

    assert lwf(near, far) == 0
    assert lwf(far, near) == pytest.approx(lwf(far, far) + lwf(near, near), rel=1e-5)


def test_images_with_anchors_of_their_own_are_matched_one_by_one() -> None:
    anchors = torch.stack([FOUR_ANCHORS, FOUR_ANCHORS.flip(0)])
    outputs = AnchorOutputs(torch.zeros(2, 4, 2), torch.zeros(2, 4, 4), torch.zeros(2, 4, 10))
    faces, landmarks = FACE.repeat(2, 1, 1), NO_LANDMARKS.repeat(2, 1, 1, 1)
    losses, matches = cascade_losses([CascadeStage(outputs, anchors, CASCADE[1])], None, faces, landmarks, 3)
    assert matches.faces.tolist() == [[0, 0, IGNORED, BACKGROUND], [BACKGROUND, IGNORED, 0, 0]]
    stage = CascadeStage(make_stage_outputs([0.0] * 4), FOUR_ANCHORS, CASCADE[1])
    single = cascade_losses([stage], None, FACE, NO_LANDMARKS, 3)[0]
    torch.testing.assert_close(losses["box"], single["box"])
