import torch

from onelook.geometry.anchors import FULL_LEVELS, LIGHT_LEVELS, AnchorOutputs, is_coarse_anchor, make_anchors
from onelook.model.detection_heads import FirstStepHeads, drop_anchors, dropped_anchors
from onelook.model.retinaface import RetinaFace
from onelook.settings import ModelSettings


def test_the_first_step_drops_anchors_below_a_hundredth_by_hand() -> None:
    # Face probabilities .5, about .0180, about .0067 and 1 - .0067.
    first = torch.tensor([[[0.0, 0.0], [4.0, 0.0], [5.0, 0.0], [0.0, 5.0]]])
    assert dropped_anchors(first).tolist() == [[False, False, True, False]]
    second = torch.tensor([[[0.0, 9.0]] * 4])
    logits = drop_anchors(AnchorOutputs(second, torch.zeros(1, 4, 4), torch.zeros(1, 4, 10)), first).logits
    assert logits[0, [0, 1, 3]].equal(second[0, [0, 1, 3]])
    assert logits.softmax(-1)[0, 2, 1] < 1e-30


def test_the_first_step_classifies_fine_levels_and_regresses_coarse_ones() -> None:
    for levels, coarse in ((FULL_LEVELS, FULL_LEVELS[3:]), (LIGHT_LEVELS, LIGHT_LEVELS[2:])):
        heads = FirstStepHeads(6, levels)
        maps = [torch.randn(2, 6, 64 // level.stride, 128 // level.stride) for level in levels]
        logits, boxes, landmarks = heads(maps)
        anchors = make_anchors(64, 128, levels)
        assert (logits.shape, boxes.shape, landmarks.shape) == tuple((2, len(anchors), c) for c in (2, 4, 10))
        is_coarse = is_coarse_anchor(anchors, levels)
        cells = [64 // level.stride * (128 // level.stride) * len(level.sizes) for level in coarse]
        assert int(is_coarse.sum()) == sum(cells)
        assert (logits[:, ~is_coarse] != 0).all() and not logits[:, is_coarse].any()
        assert (boxes[:, is_coarse] != 0).all() and not boxes[:, ~is_coarse].any()
        assert not landmarks.any()


def test_a_selective_cascade_refines_the_anchors_of_coarse_levels_alone() -> None:
    torch.manual_seed(0)
    settings = ModelSettings(pyramid_levels="full", fpn_channels=16, cascade="selective", init="random")
    detector = RetinaFace(settings).eval()
    with torch.no_grad():
        detector.heads.logits[0].bias.copy_(torch.tensor([9.0, -9.0] * 3))  # all of P2 is background
        output = detector(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    anchors = detector.make_anchors(64, 64)
    moved = (output.reference_boxes(anchors)[0] != anchors).any(1)
    assert moved.equal(is_coarse_anchor(anchors, detector.levels))
    scores = output.anchor_outputs.logits.softmax(-1)[0, :, 1]
    p2 = 16 * 16 * 3
    assert scores[:p2].max() < 1e-30 and scores[p2:].min() > 1e-3
