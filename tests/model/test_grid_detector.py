"""The joint grid detector's network: its cells, what they tell, and which of them knows a face."""

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.anchors import anchors_to_boxes
from onelook.geometry.boxes import decode_boxes
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.grid_detector import CellEmbedding, GridDetector, nearest_cells
from onelook.model.joint_network import JointNetwork
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, ModelSettings


def grid_model(scales: tuple[int, ...] = (5, 11, 19), side: int = 160, **changes: object) -> ModelSettings:
    grid = {"scales": scales, "side": side, "channels": 12}
    return light_model(tiny_embedding(8), form="grid", grid=grid, **changes)


def network(settings: ModelSettings) -> JointNetwork:
    torch.manual_seed(0)
    return JointNetwork(settings).eval()


def face(x: float, y: float, side: float) -> torch.Tensor:
    """Points (5, 2) of an upright face whose mean is (x, y) and whose box has that side."""
    points = torch.from_numpy(REFERENCE_LANDMARKS) - torch.from_numpy(REFERENCE_LANDMARKS).mean(0)
    return points * (side / 4.05 / points.square().sum(1).mean().sqrt()) + torch.tensor([x, y])


@pytest.mark.parametrize("backbone", ["mobilenet", "resnet18"])
@pytest.mark.parametrize("side", [160, 320])
def test_a_photo_of_any_shape_becomes_the_same_cells(backbone: str, side: int) -> None:
    joint = network(grid_model(side=side, backbone=backbone))
    for height, width in ((side, side), (75, 130)):
        shared = joint(torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8))
        assert [tuple(each.shape) for each in shared.anchors] == [(2, 1521, size) for size in (2, 4, 10)]
        assert [tuple(each.shape) for each in shared.maps[:3]] == [(2, 12, s, s) for s in (5, 11, 19)]
        assert shared.maps[3].equal(joint.detector.anchors(height, width))


@pytest.mark.parametrize("side", [160, 640])
def test_the_single_matrix_tells_of_75_boxes(side: int) -> None:
    joint = network(grid_model((5,), side))
    shared = joint(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert shared.anchors.boxes.shape == (1, 75, 4) and shared.maps[0].shape == (1, 12, 5, 5)
    assert not list(joint.detector.decode)


def test_the_maps_alone_are_those_of_the_whole_pass() -> None:
    joint = network(grid_model())
    images = torch.randint(0, 256, (1, 3, 100, 100), dtype=torch.uint8)
    for one, other in zip(joint.detector.shared_maps(images), joint(images).maps, strict=True):
        assert one.equal(other)


def test_before_training_every_box_is_its_anchor() -> None:
    joint = network(grid_model())
    shared = joint(torch.randint(0, 256, (1, 3, 90, 120), dtype=torch.uint8))
    anchors = joint.detector.anchors(90, 120)
    torch.testing.assert_close(decode_boxes(shared.anchors.boxes[0], anchors), anchors_to_boxes(anchors))
    assert not shared.anchors.landmarks.any()


def test_what_a_cell_tells_of_each_of_its_boxes_reaches_the_anchor_of_that_box() -> None:
    """The second box of every cell of 11 x 11 is told to lie at the cell's corner and to be e times as wide."""
    joint = network(grid_model())
    with torch.no_grad():
        joint.detector.tell[1].bias[16 + 2 : 16 + 5] = torch.tensor([0.0, 0.0, 1.0])
    shared = joint(torch.zeros(1, 3, 110, 220, dtype=torch.uint8))
    anchors = joint.detector.anchors(110, 220)
    moved = (decode_boxes(shared.anchors.boxes[0], anchors) - anchors_to_boxes(anchors)).abs().amax(1) > 1e-3
    assert moved.nonzero()[:, 0].tolist() == list(range(75 + 1, 75 + 363, 3))
    number = 75 + (4 * 11 + 7) * 3 + 1
    x0, y0, x1, y1 = decode_boxes(shared.anchors.boxes[0, number], anchors[number]).tolist()
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((7 * 20, 4 * 10), abs=1e-3)
    assert (x1 - x0) / float(anchors[number, 2]) == pytest.approx(np.e, rel=1e-4)
    assert (y1 - y0) / float(anchors[number, 3]) == pytest.approx(1, rel=1e-4)


def test_each_face_gets_the_embedding_of_the_cell_it_lies_in() -> None:
    """Cells painted with a color each; a photo of 550 x 220, sizes .6 to .05 of the root of its area, 348 pixels."""
    head = CellEmbedding(3, 3).eval()
    head.project[0].weight.data.copy_(torch.eye(3))
    anchors = network(grid_model()).detector.anchors(220, 550)
    maps = [torch.zeros(2, 3, s, s) for s in (5, 11, 19)]
    maps[0][0, 0, 2, 3] = 7  # the cell of 110 x 44 pixels at (330, 88): a large face in the first photo
    maps[1][1, 1, 10, 0] = 5  # of 50 x 20 at (0, 200): a middling one in the second
    maps[2][1, 2, 9, 18] = 2  # of 28.9 x 11.6 at (521, 104)
    landmarks = [torch.stack([face(331, 90, 180)]), torch.stack([face(540, 108, 18), face(49, 219, 100)])]
    assert head([*maps, anchors], landmarks).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    # Past the cell's edge is another cell; past the photo's edge is none, so the face still lies in the last.
    assert not head([*maps, anchors], [torch.stack([face(329, 90, 180)]), torch.zeros(0, 5, 2)]).any()
    assert head([*maps, anchors], [torch.zeros(0, 5, 2), face(-30, 300, 100)[None]]).tolist() == [[0, 1, 0]]
    assert head([*maps, anchors], [torch.zeros(0, 5, 2)] * 2).shape == (0, 3)


def test_two_faces_in_one_cell_share_its_embedding_and_of_two_scales_they_do_not() -> None:
    joint = network(grid_model())
    maps = joint(torch.randint(0, 256, (1, 3, 190, 190), dtype=torch.uint8)).maps
    beside = torch.stack([face(101, 101, 20), face(108, 108, 21), face(101, 101, 100)])
    first, second, large = joint.embed(maps, [beside])
    assert first.equal(second) and not first.allclose(large)
    torch.testing.assert_close(torch.stack([first, large]).norm(dim=1), torch.ones(2))


def test_a_face_belongs_to_the_scale_with_the_most_similar_anchor() -> None:
    """A slow twin: every anchor's side against the face's."""
    detector = network(grid_model()).detector
    anchors = detector.anchors(400, 300)
    rng = np.random.default_rng(1)
    faces = [(rng.uniform(0, 300), rng.uniform(0, 400), rng.uniform(10, 300)) for _ in range(40)]
    found = nearest_cells(torch.stack([face(*each) for each in faces]), anchors).tolist()
    sides = anchors[[0, 1, 2, 75, 76, 77, 438, 439, 440]][:, 2:].prod(1).sqrt().tolist()
    for (x, y, side), cell in zip(faces, found, strict=True):
        ratios = [max(each / side, side / each) for each in sides]
        place = ratios.index(min(ratios)) // 3
        scale, first = ((5, 0), (11, 25), (19, 25 + 121))[place]
        assert cell == first + int(y / 400 * scale) * scale + int(x / 300 * scale)


def test_a_saved_grid_comes_back_with_its_anchors_and_looks_the_same_folded(tmp_path: Path) -> None:
    joint = network(grid_model())
    assert isinstance(joint.detector, GridDetector)
    with torch.no_grad():
        joint.detector.sizes.mul_(0.9)
        joint.detector.tell[0].bias[1] = 20  # the first box of every cell of 5 x 5 is a face
    photo = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    save_model(tmp_path, joint)
    looker = load_torch_predictor(tmp_path)
    assert isinstance(looker.network.detector, GridDetector) and looker.network.settings == joint.settings
    assert looker.network.detector.sizes.equal(joint.detector.sizes)
    detect = DetectSettings(score=0.99, nms=0.9, longest_side=640)
    (one,), (other,) = (each.predict([photo], detect) for each in (TorchPredictor(joint), looker))
    assert len(one) == 25
    np.testing.assert_allclose(other.boxes, one.boxes, atol=1e-2)
    np.testing.assert_allclose(other.embeddings, one.embeddings, atol=1e-4)
    # Boxes are in pixels of the photo: .54 of its two sides, mid-cell.
    assert any(np.allclose(box, [45 - 24.3, 60 - 32.4, 45 + 24.3, 60 + 32.4], atol=0.1) for box in one.boxes)
