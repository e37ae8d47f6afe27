import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.networks import light_model, tiny_embedding
from onelook.geometry.anchors import FULL_LEVELS, LIGHT_LEVELS, AnchorLevel, make_anchors
from onelook.geometry.mesh import NOSE_TIP, NUM_VERTICES, POINTS_68, encode_mesh
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.mesh_head import MeshHead
from onelook.settings import DetectSettings

OUTPUTS = (NUM_VERTICES + len(POINTS_68)) * 3


def features(levels: tuple[AnchorLevel, ...], height: int, width: int, channels: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(-(-height // level.stride), -(-width // level.stride)) for level in levels]
    return [torch.randn(2, channels, *shape, generator=generator) for shape in shapes]


def test_outputs_by_literal_values() -> None:
    assert OUTPUTS == 1608
    assert len(MeshHead(8, LIGHT_LEVELS).linears) == 6
    assert len(MeshHead(8, FULL_LEVELS).linears) == 15
    head = MeshHead(64, LIGHT_LEVELS)
    assert sum(parameter.numel() for parameter in head.parameters()) == 6 * (64 + 1) * 1608
    nobody = torch.zeros(0, dtype=torch.int64)
    assert head(features(LIGHT_LEVELS, 64, 64, 64), nobody, nobody).shape == (0, 536, 3)


@pytest.mark.parametrize("levels", [LIGHT_LEVELS, FULL_LEVELS])
def test_it_is_a_1x1_convolution_read_at_the_anchors_asked_for(levels: tuple[AnchorLevel, ...]) -> None:
    head, maps = MeshHead(4, levels), features(levels, 70, 100, 4)
    linears, everywhere = iter(head.linears), []
    for x, level in zip(maps, levels, strict=True):
        each = []
        for _ in level.sizes:
            linear = next(linears)
            assert isinstance(linear, nn.Linear)
            each.append(functional.conv2d(x, linear.weight[:, :, None, None], linear.bias))
        everywhere.append(torch.stack(each, -1).permute(0, 2, 3, 4, 1).flatten(1, 3))
    dense = torch.cat(everywhere, 1)
    count = len(make_anchors(70, 100, levels))
    assert dense.shape == (2, count, OUTPUTS)
    generator = torch.Generator().manual_seed(1)
    images, anchors = torch.randint(2, (40,), generator=generator), torch.randint(count, (40,), generator=generator)
    found = head(maps, images, anchors)
    torch.testing.assert_close(found, dense[images, anchors].unflatten(1, (-1, 3)), rtol=1e-4, atol=1e-5)
    found.sum().backward()
    assert head.linears[0].weight.grad is not None


@pytest.mark.parametrize("cascade", [False, True])
def test_a_look_gives_every_face_a_mesh_where_its_anchor_says(cascade: bool) -> None:
    """The head is told to see one mesh everywhere: a face's mesh then lies as its anchor does."""
    torch.manual_seed(0)
    network = JointNetwork(light_model(tiny_embedding(8), mesh=True, cascade=cascade))
    assert network.mesh is not None
    shape = torch.randn(1, NUM_VERTICES, 3)
    shape[0, NOSE_TIP] = torch.tensor([0.1, 0.2, 0.0])
    offsets = encode_mesh(shape, torch.tensor([[0.0, 0, 1, 1]]))[0]
    for readout in network.mesh.linears:
        assert isinstance(readout, nn.Linear)
        nn.init.zeros_(readout.weight)
        readout.bias.data = torch.cat([offsets, offsets[list(POINTS_68)]]).flatten()
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    detect = DetectSettings(score=0.02, nms=0.3, longest_side=640)
    found = TorchPredictor(network).predict([photo], detect)[0]
    assert len(found) > 0 and found.meshes is not None and found.meshes.shape == (len(found), NUM_VERTICES, 3)
    # Of untrained boxes: each leads from its anchor, which here is where the nose tip is 0.1 and 0.2 sides from.
    sides = found.meshes[:, 0, 2] / offsets[0, 2].item()
    np.testing.assert_allclose(found.meshes[:, :, 2], sides[:, None] * offsets[:, 2].numpy(), rtol=1e-3, atol=1e-3)
    assert (found.meshes[:, NOSE_TIP, 2] == 0).all()
    kept = found.above(float(found.scores[0]))
    assert kept.meshes is not None and len(kept.meshes) == len(kept)
    # A photo shown at half its size has its mesh in pixels of the whole one.
    halved = TorchPredictor(network).predict([photo], detect.model_copy(update={"longest_side": 64}))[0]
    assert halved.meshes is not None and halved.meshes[:, NOSE_TIP, 0].max() > 64


def test_without_a_head_there_are_no_meshes() -> None:
    found = TorchPredictor(JointNetwork(light_model(tiny_embedding(8)))).predict(
        [np.zeros((64, 64, 3), np.uint8)], DETECT
    )
    assert found[0].meshes is None


DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)
