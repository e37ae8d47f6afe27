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
from onelook.model.grid_detector import CellEmbedding, GridDetector, assign_cells
from onelook.model.joint_network import JointNetwork
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, ModelSettings


def grid_settings(scales: tuple[int, ...] = (5, 11, 19), image_size: int = 160, **changes: object) -> ModelSettings:
    grid = {"scales": scales, "image_size": image_size, "channels": 12}
    return light_model(tiny_embedding(8), architecture="grid", grid=grid, **changes)


def make_network(settings: ModelSettings) -> JointNetwork:
    torch.manual_seed(0)
    return JointNetwork(settings).eval()


def face(x: float, y: float, side: float) -> torch.Tensor:
    """Return the landmarks (5, 2) of an upright face with their mean at (x, y) and a box of that side."""
    points = torch.from_numpy(REFERENCE_LANDMARKS) - torch.from_numpy(REFERENCE_LANDMARKS).mean(0)
    return points * (side / 4.05 / points.square().sum(1).mean().sqrt()) + torch.tensor([x, y])


@pytest.mark.parametrize("backbone", ["mobilenet", "resnet18"])
@pytest.mark.parametrize("image_size", [160, 320])
def test_images_of_any_size_have_the_same_number_of_cells(backbone: str, image_size: int) -> None:
    network = make_network(grid_settings(image_size=image_size, backbone=backbone))
    for height, width in ((image_size, image_size), (75, 130)):
        output = network(torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8))
        assert [tuple(each.shape) for each in output.anchor_outputs] == [(2, 1521, size) for size in (2, 4, 10)]
        assert [tuple(each.shape) for each in output.feature_maps[:3]] == [(2, 12, s, s) for s in (5, 11, 19)]
        assert output.feature_maps[3].equal(network.detector.make_anchors(height, width))


@pytest.mark.parametrize("image_size", [160, 640])
def test_single_scale_has_75_anchors_and_no_decoder(image_size: int) -> None:
    network = make_network(grid_settings((5,), image_size))
    output = network(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert output.anchor_outputs.boxes.shape == (1, 75, 4) and output.feature_maps[0].shape == (1, 12, 5, 5)
    assert not list(network.detector.decoder)


def test_extract_feature_maps_equals_the_forward_pass() -> None:
    network = make_network(grid_settings())
    images = torch.randint(0, 256, (1, 3, 100, 100), dtype=torch.uint8)
    maps = zip(network.detector.extract_feature_maps(images), network(images).feature_maps, strict=True)
    assert all(alone.equal(whole) for alone, whole in maps)


def test_untrained_detector_predicts_its_anchors() -> None:
    network = make_network(grid_settings())
    outputs = network(torch.randint(0, 256, (1, 3, 90, 120), dtype=torch.uint8)).anchor_outputs
    anchors = network.detector.make_anchors(90, 120)
    torch.testing.assert_close(decode_boxes(outputs.boxes[0], anchors), anchors_to_boxes(anchors))
    assert not outputs.landmarks.any()


def test_outputs_of_a_cell_belong_to_its_anchors() -> None:
    """The second box of every cell of 11 x 11 is moved to the cell's corner and made e times as wide."""
    network = make_network(grid_settings())
    with torch.no_grad():
        network.detector.heads[1].bias[16 + 2 : 16 + 5] = torch.tensor([0.0, 0.0, 1.0])
    outputs = network(torch.zeros(1, 3, 110, 220, dtype=torch.uint8)).anchor_outputs
    anchors = network.detector.make_anchors(110, 220)
    moved = (decode_boxes(outputs.boxes[0], anchors) - anchors_to_boxes(anchors)).abs().amax(1) > 1e-3
    assert moved.nonzero()[:, 0].tolist() == list(range(75 + 1, 75 + 363, 3))
    index = 75 + (4 * 11 + 7) * 3 + 1
    x0, y0, x1, y1 = decode_boxes(outputs.boxes[0, index], anchors[index]).tolist()
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((7 * 20, 4 * 10), abs=1e-3)
    assert (x1 - x0) / float(anchors[index, 2]) == pytest.approx(np.e, rel=1e-4)
    assert (y1 - y0) / float(anchors[index, 3]) == pytest.approx(1, rel=1e-4)


def test_embedding_is_that_of_the_cell_that_contains_the_face() -> None:
    """In an image of 550 x 220 the anchors' sides are .6 to .05 of the root of its area, 348 pixels."""
    head = CellEmbedding(3, 3).eval()
    head.projection[0].weight.data.copy_(torch.eye(3))
    anchors = make_network(grid_settings()).detector.make_anchors(220, 550)
    maps = [torch.zeros(2, 3, s, s) for s in (5, 11, 19)]
    maps[0][0, 0, 2, 3] = 7  # the cell of 110 x 44 pixels at (330, 88): a large face in the first image
    maps[1][1, 1, 10, 0] = 5  # of 50 x 20 at (0, 200): a medium one in the second
    maps[2][1, 2, 9, 18] = 2  # of 28.9 x 11.6 at (521, 104): a small one in the second
    landmarks = [torch.stack([face(331, 90, 180)]), torch.stack([face(540, 108, 18), face(49, 219, 100)])]
    assert head([*maps, anchors], landmarks).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    # A face past the edge of a cell is in the next cell; a face outside the image is in the nearest one.
    assert not head([*maps, anchors], [torch.stack([face(329, 90, 180)]), torch.zeros(0, 5, 2)]).any()
    assert head([*maps, anchors], [torch.zeros(0, 5, 2), face(-30, 300, 100)[None]]).tolist() == [[0, 1, 0]]
    assert head([*maps, anchors], [torch.zeros(0, 5, 2)] * 2).shape == (0, 3)


def test_faces_in_one_cell_have_the_same_embedding_and_faces_of_two_scales_do_not() -> None:
    network = make_network(grid_settings())
    maps = network(torch.randint(0, 256, (1, 3, 190, 190), dtype=torch.uint8)).feature_maps
    faces = torch.stack([face(101, 101, 20), face(108, 108, 21), face(101, 101, 100)])
    first, second, large = network.embed(maps, [faces])
    assert first.equal(second) and not first.allclose(large)
    torch.testing.assert_close(torch.stack([first, large]).norm(dim=1), torch.ones(2))


def test_face_is_assigned_to_the_scale_of_the_most_similar_anchor() -> None:
    """A loop over all anchors gives the same cells."""
    detector = make_network(grid_settings()).detector
    anchors = detector.make_anchors(400, 300)
    rng = np.random.default_rng(1)
    faces = [(rng.uniform(0, 300), rng.uniform(0, 400), rng.uniform(10, 300)) for _ in range(40)]
    cells = assign_cells(torch.stack([face(*each) for each in faces]), anchors).tolist()
    sides = anchors[[0, 1, 2, 75, 76, 77, 438, 439, 440]][:, 2:].prod(1).sqrt().tolist()
    for (x, y, side), cell in zip(faces, cells, strict=True):
        ratios = [max(each / side, side / each) for each in sides]
        scale, first = ((5, 0), (11, 25), (19, 25 + 121))[ratios.index(min(ratios)) // 3]
        assert cell == first + int(y / 400 * scale) * scale + int(x / 300 * scale)


def test_saved_detector_is_loaded_with_its_anchors_and_predicts_the_same_when_optimized(tmp_path: Path) -> None:
    network = make_network(grid_settings())
    assert isinstance(network.detector, GridDetector)
    with torch.no_grad():
        network.detector.anchor_sizes.mul_(0.9)
        network.detector.heads[0].bias[1] = 20  # the first box of every cell of 5 x 5 is a face
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    save_model(tmp_path, network)
    loaded = load_torch_predictor(tmp_path)
    assert isinstance(loaded.network.detector, GridDetector) and loaded.network.settings == network.settings
    assert loaded.network.detector.anchor_sizes.equal(network.detector.anchor_sizes)
    detect = DetectSettings(score=0.99, nms=0.9, longest_side=640)
    (expected,), (optimized,) = (each.predict([image], detect) for each in (TorchPredictor(network), loaded))
    assert len(expected) == 25
    np.testing.assert_allclose(optimized.boxes, expected.boxes, atol=1e-2)
    np.testing.assert_allclose(optimized.embeddings, expected.embeddings, atol=1e-4)
    # Boxes are in pixels of the image: .54 of its two sides, centered in the cell.
    center_box = [45 - 24.3, 60 - 32.4, 45 + 24.3, 60 + 32.4]
    assert any(np.allclose(box, center_box, atol=0.1) for box in expected.boxes)
