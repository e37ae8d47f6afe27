from math import exp, log

import pytest
import torch

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_landmarks, refine_anchors
from onelook.losses.detection import BACKGROUND, IGNORED, CascadeStage, Matches, cascade_losses, predicted_landmarks
from onelook.settings import MatchThresholds

ANCHORS = torch.tensor([[20.0, 20.0, 16.0, 16.0], [22.0, 20.0, 16.0, 16.0], [70.0, 70.0, 16.0, 16.0]])
LABELED = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(0)) * 40


def outputs(logits: list[list[float]], points: torch.Tensor) -> AnchorOutputs:
    return AnchorOutputs(torch.tensor([logits]), torch.zeros(1, 3, 4), encode_landmarks(points, ANCHORS)[None])


def test_a_face_s_best_scored_anchor_speaks_for_it() -> None:
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(1)) * 40
    match = Matches(torch.tensor([0, 0, BACKGROUND]))
    found = predicted_landmarks(outputs([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]], points), 0, ANCHORS, match, LABELED)
    torch.testing.assert_close(found[0], points[1])
    torch.testing.assert_close(found[1], LABELED[1])


def test_the_losses_bear_the_names_of_their_weights_and_keep_is_free_without_a_teacher() -> None:
    points = torch.zeros(3, 5, 2)
    boxes, landmarks = [torch.tensor([[12.0, 12.0, 28.0, 28.0]])], [LABELED[:1]]
    thresholds = MatchThresholds(positive=0.5, negative=0.3)
    given = outputs([[0.0, 1.0], [0.0, 2.0], [0.0, 9.0]], points)
    stages = [CascadeStage(given, ANCHORS, thresholds)]
    losses, matches = cascade_losses(stages, None, boxes, landmarks, 1)
    assert losses.keys() == {"classification", "box", "landmarks", "keep"} and losses["keep"].item() == 0
    assert matches[0].faces.tolist() == [0, 0, BACKGROUND]
    moved = outputs([[0.0, 1.0], [0.0, 0.0], [0.0, 9.0]], points)
    assert cascade_losses(stages, [moved], boxes, landmarks, 1)[0]["keep"].item() > 0


# One face, 20 pixels wide; four anchors that overlap it by 1, .6, .4 and 0.
FACE = [torch.tensor([[10.0, 10.0, 30.0, 30.0]])]
NOWHERE = [torch.full((1, 5, 2), torch.nan)]
FOUR = torch.tensor(
    [[20.0, 20.0, 20.0, 20.0], [20.0, 16.0, 20.0, 12.0], [20.0, 14.0, 20.0, 8.0], [80.0, 80.0, 20.0, 20.0]]
)
CASCADE = (MatchThresholds(positive=0.7, negative=0.3), MatchThresholds(positive=0.5, negative=0.4))


def of_four(logits: list[float], boxes: torch.Tensor | None = None) -> AnchorOutputs:
    """What a stage says: the odds of a face per anchor, as a logarithm, and offsets of boxes (4, 4)."""
    pairs = torch.tensor([[0.0, odds] for odds in logits])[None]
    offsets = torch.zeros(1, 4, 4) if boxes is None else boxes[None].clone()
    return AnchorOutputs(pairs, offsets.requires_grad_(), torch.zeros(1, 4, 10))


def test_the_stages_of_a_cascade_cost_by_thresholds_of_their_own() -> None:
    """By hand: what is a face, background or ignored in each stage."""
    first, second = of_four([0.0, 5.0, 5.0, 1.0]), of_four([0.0, 0.0, 5.0, 1.0])
    stages = [
        CascadeStage(first, FOUR, CASCADE[0]),
        CascadeStage(second, refine_anchors(first.boxes, FOUR), CASCADE[1]),
    ]
    alone = [cascade_losses([stage], None, FACE, NOWHERE, 3)[0]["classification"].item() for stage in stages]
    face, background = log(2), log(1 + exp(1))
    # First: a face, two ignored, background. Second: two faces, one at .4 that counts as neither, background.
    assert alone == pytest.approx([face + background, (2 * face + background) / 2], rel=1e-5)
    losses, matches = cascade_losses(stages, None, FACE, NOWHERE, 3)
    assert losses["classification"].item() == pytest.approx(sum(alone), rel=1e-5)
    assert matches[0].faces.tolist() == [0, 0, IGNORED, BACKGROUND]


def test_the_second_stage_is_matched_with_and_regresses_from_the_first_one_s_boxes() -> None:
    """The first stage moves the anchor of overlap 0 onto the face, 2 pixels off: that is what the second must mend."""
    moved = torch.zeros(4, 4)
    moved[3, :2] = torch.tensor([-29.0, -30.0])  # tenths of 20 pixels
    first = of_four([0.0] * 4, moved)
    starts = refine_anchors(first.boxes, FOUR)
    assert starts[0, 3].tolist() == [22, 20, 20, 20]
    second = of_four([0.0] * 4)
    losses, matches = cascade_losses([CascadeStage(second, starts, CASCADE[1])], None, FACE, NOWHERE, 3)
    assert matches[0].faces.tolist() == [0, 0, IGNORED, 0]
    # Anchor 1 costs its height, log(20 / 12) / .2, and its middle, 4 / 1.2 off; anchor 3 the 2 pixels, one offset of 1.
    wanted = (log(20 / 12) / 0.2 - 0.5) + (4 / 1.2 - 0.5) + 0.5
    assert losses["box"].item() == pytest.approx(wanted / 3, rel=1e-4)


def test_what_starts_from_the_first_stage_does_not_teach_it() -> None:
    first, second = of_four([0.0] * 4), of_four([0.0] * 4)
    stages = [CascadeStage(second, refine_anchors(first.boxes, FOUR), CASCADE[1])]
    cascade_losses(stages, None, FACE, NOWHERE, 3)[0]["box"].backward()
    assert first.boxes.grad is None and second.boxes.grad is not None and bool(second.boxes.grad.any())


def test_both_stages_are_kept_near_their_teachers() -> None:
    near, far = of_four([3.0, 0.0, 0.0, -9.0]), of_four([0.0, 3.0, 0.0, -9.0])
    stages = [CascadeStage(near, FOUR, CASCADE[0]), CascadeStage(far, FOUR, CASCADE[1])]

    def keep(*teachers: AnchorOutputs) -> float:
        return cascade_losses(stages, teachers, FACE, NOWHERE, 3)[0]["keep"].item()

    assert keep(near, far) == 0
    assert keep(far, near) == pytest.approx(keep(far, far) + keep(near, near), rel=1e-5)


def test_a_batch_of_images_with_anchors_of_their_own_is_matched_image_by_image() -> None:
    each = torch.stack([FOUR, FOUR.flip(0)])
    outputs = AnchorOutputs(torch.zeros(2, 4, 2), torch.zeros(2, 4, 4), torch.zeros(2, 4, 10))
    losses, matches = cascade_losses([CascadeStage(outputs, each, CASCADE[1])], None, FACE * 2, NOWHERE * 2, 3)
    assert [match.faces.tolist() for match in matches] == [[0, 0, IGNORED, BACKGROUND], [BACKGROUND, IGNORED, 0, 0]]
    single = cascade_losses([CascadeStage(of_four([0.0] * 4), FOUR, CASCADE[1])], None, FACE, NOWHERE, 3)[0]
    torch.testing.assert_close(losses["box"], single["box"])
