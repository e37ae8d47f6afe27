import numpy as np
import pytest
import torch
from torch import nn

from helpers.networks import light_model, tiny_embedding
from onelook.geometry.anchors import LIGHT_LEVELS
from onelook.geometry.mesh import NOSE_TIP, NUM_VERTICES, POINTS_68, encode_mesh
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.mesh_head import MeshHead
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.02, nms=0.3, longest_side=640)


def test_outputs_are_468_vertices_and_68_landmarks() -> None:
    head = MeshHead(64, LIGHT_LEVELS)
    assert sum(parameter.numel() for parameter in head.parameters()) == 6 * (64 + 1) * 1608
    features = [torch.randn(2, 64, 64 // level.stride, 64 // level.stride) for level in LIGHT_LEVELS]
    images, anchors = torch.tensor([0, 1, 1]), torch.tensor([0, 5, 150])
    assert head(features, images, anchors).shape == (3, 536, 3)
    assert head(features, images[:0], anchors[:0]).shape == (0, 536, 3)


@pytest.mark.parametrize("cascade", ["none", "all"])
def test_mesh_of_a_face_is_decoded_from_its_anchor(cascade: str) -> None:
    """With one mesh at every anchor, the mesh of a face lies as its anchor does."""
    torch.manual_seed(0)
    network = JointNetwork(light_model(tiny_embedding(8), mesh=True, cascade=cascade))
    assert network.mesh is not None
    mesh = torch.randn(1, NUM_VERTICES, 3)
    mesh[0, NOSE_TIP] = torch.tensor([0.1, 0.2, 0.0])
    offsets = encode_mesh(mesh, torch.tensor([[0.0, 0, 1, 1]]))[0]
    for linear in network.mesh.linears:
        assert isinstance(linear, nn.Linear)
        nn.init.zeros_(linear.weight)
        linear.bias.data = torch.cat([offsets, offsets[list(POINTS_68)]]).flatten()
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    detections = TorchPredictor(network).predict([image], DETECT)[0]
    assert len(detections) > 0 and detections.meshes is not None
    assert detections.meshes.shape == (len(detections), NUM_VERTICES, 3)
    # Depths are in sides of the anchor.
    sides = detections.meshes[:, 0, 2] / offsets[0, 2].item()
    np.testing.assert_allclose(detections.meshes[:, :, 2], sides[:, None] * offsets[:, 2].numpy(), rtol=1e-3, atol=1e-3)
    assert (detections.meshes[:, NOSE_TIP, 2] == 0).all()
    best = detections.above(float(detections.scores[0]))
    assert best.meshes is not None and len(best.meshes) == len(best)
    # The mesh is in pixels of the image as given, even if the network's input has half its size.
    halved = TorchPredictor(network).predict([image], DETECT.model_copy(update={"longest_side": 64}))[0]
    assert halved.meshes is not None and halved.meshes[:, NOSE_TIP, 0].max() > 64


def test_network_without_a_mesh_head_predicts_no_meshes() -> None:
    network = JointNetwork(light_model(tiny_embedding(8)))
    assert TorchPredictor(network).predict([np.zeros((64, 64, 3), np.uint8)], DETECT)[0].meshes is None
