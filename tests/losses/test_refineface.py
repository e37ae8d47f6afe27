"""RefineFace's losses: two-step stages of a selective cascade, scale-aware margin, feature supervision."""

from math import exp, log

import pytest
import torch

from onelook.geometry.anchors import LIGHT_LEVELS, AnchorOutputs
from onelook.losses.detection import (
    BACKGROUND,
    IGNORED,
    CascadeStage,
    Matches,
    TrainedAnchors,
    cascade_losses,
    subtract_scale_margin,
)
from onelook.losses.feature_supervision import feature_supervision_loss, select_regions
from onelook.model.feature_supervision import FeatureSupervision
from onelook.settings import MatchThresholds

FACE = torch.tensor([[[10.0, 10.0, 30.0, 30.0]]])
NO_LANDMARKS = torch.full((1, 1, 5, 2), torch.nan)
# The face itself, and three anchors away from it.
ANCHORS = torch.tensor([[20.0, 20, 20, 20], [80, 80, 20, 20], [120, 80, 20, 20], [160, 80, 20, 20]])
THRESHOLDS = MatchThresholds(positive=0.7, negative=0.3)


def outputs(margins: list[float], offset: float = 0.0) -> AnchorOutputs:
    logits = torch.tensor([[[0.0, margin] for margin in margins]])
    return AnchorOutputs(logits, torch.full((1, 4, 4), offset), torch.zeros(1, 4, 10))


def test_scale_margins_by_hand() -> None:
    """Faces of 16 x 16, 32 x 16, 64 x 64 and 8 x 8 pixels: a margin of 2, a half, a sixteenth, and 2 again."""
    boxes = torch.tensor([[[0.0, 0, 16, 16], [0, 0, 32, 16], [0, 0, 64, 64], [0, 0, 8, 8]]])
    matches = Matches(torch.tensor([[0, 1, 2, 3, BACKGROUND, IGNORED]]))
    logits = subtract_scale_margin(torch.ones(1, 6, 2), matches, boxes, margin=2.0)
    assert logits[0, :, 0].tolist() == [1] * 6
    assert logits[0, :, 1].tolist() == [-1, 0, 1 - 2 / 16, -1, 1, 1]


def test_the_margin_raises_the_loss_of_the_positive_anchor_by_hand() -> None:
    stage = CascadeStage(outputs([1.0, 0.0, 0.0, 0.0]), ANCHORS, THRESHOLDS)
    margin = 1.5 * 256 / 400
    losses = cascade_losses([stage], None, FACE, NO_LANDMARKS, 1, scale_margin=1.5)[0]
    assert losses["classification"].item() == pytest.approx(log(1 + exp(margin - 1)) + log(2), rel=1e-5)


def test_dropped_anchors_and_those_of_other_levels_have_no_loss() -> None:
    """The first step drops the hardest negative, so the second trains on the next one; boxes are trained elsewhere."""
    stage = CascadeStage(outputs([0.0, 5.0, 2.0, 0.0]), ANCHORS, THRESHOLDS)
    dropped = torch.tensor([[False, True, False, False]])
    losses, matches = cascade_losses([stage._replace(dropped=dropped)], None, FACE, NO_LANDMARKS, 1)
    assert matches.faces.tolist() == [[0, IGNORED, BACKGROUND, BACKGROUND]]
    assert losses["classification"].item() == pytest.approx(log(2) + log(1 + exp(2)), rel=1e-5)

    fine = torch.tensor([True, False, False, True])
    first = CascadeStage(
        outputs([0.0, 5.0, 2.0, 0.0], offset=9.0), ANCHORS, THRESHOLDS, TrainedAnchors(fine, ~fine, torch.zeros(4) > 0)
    )
    losses = cascade_losses([first], None, FACE, torch.zeros(1, 1, 5, 2), 1)[0]
    assert losses["classification"].item() == pytest.approx(2 * log(2), rel=1e-5)
    assert losses["box"].item() == 0 and losses["landmarks"].item() == 0


def test_regions_are_the_faces_and_as_many_of_the_hardest_background_anchors() -> None:
    boxes = torch.cat([FACE, torch.zeros(1, 1, 4)], 1)
    matches = Matches(torch.tensor([[0, BACKGROUND, IGNORED, BACKGROUND]]))
    regions = select_regions(outputs([9.0, -1.0, 9.0, 1.0]), ANCHORS[None], matches, boxes)
    assert regions.is_face.tolist() == [[True, True, False, False]]
    assert regions.valid.tolist() == [[True, False, True, True]]
    assert regions.boxes[0, 2:].tolist() == [[150, 70, 170, 90], [70, 70, 90, 90]]
    logits = torch.tensor([[0.0, 99.0, 0.0, 3.0]])
    expected = (log(2) + log(2) + log(1 + exp(3))) / 3
    assert feature_supervision_loss(logits, regions).item() == pytest.approx(expected, rel=1e-5)
    nothing = regions._replace(valid=torch.zeros(1, 4, dtype=torch.bool))
    assert feature_supervision_loss(logits, nothing).item() == 0


def test_a_region_is_read_from_its_own_level_and_place() -> None:
    torch.manual_seed(0)
    module = FeatureSupervision(4, LIGHT_LEVELS)
    maps = [torch.randn(2, 4, 256 // stride, 256 // stride, requires_grad=True) for stride in (8, 16, 32)]
    boxes = torch.tensor([[[8.0, 16, 40, 48]], [[64, 64, 192, 192]]])  # sides of 32 and 128 pixels
    logits = module(maps, boxes)
    assert logits.shape == (2, 1)
    logits.sum().backward()
    used = [[bool(x.grad[image].any()) for x in maps] for image in range(2)]
    assert used == [[True, False, False], [False, True, False]]
    rows, columns = maps[0].grad[0].abs().sum(0).nonzero().unbind(1)
    # Cells 1 to 4 and 2 to 5, and the neighbors between whose centers the outermost samples lie.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 6, 0, 5)
