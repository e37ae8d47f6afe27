from pathlib import Path

import pytest
import torch
from torch import nn

from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.inference.fast.folding import fold_batch_norms
from onelook.model.deformable import DeformableConv
from onelook.model.joint_network import JointNetwork
from onelook.settings import load_settings


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"backbone": "resnet50"},
        {"backbone": "resnet18", "pyramid_levels": "full", "context": "modulated", "cascade": "all"},
    ],
    ids=str,
)
def test_folded_network_has_equal_outputs_and_no_batch_norms(project: Path, configuration: dict) -> None:
    torch.manual_seed(0)
    settings = load_settings(project / "params.yaml").model
    network = JointNetwork(settings.model_copy(update={"init": "random", **configuration}))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # initial statistics would fold to the identity
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
            elif isinstance(module, DeformableConv):
                module.offsets.weight.normal_(0, 0.01)
    network.eval()
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    landmarks = [
        torch.from_numpy(REFERENCE_LANDMARKS * 0.6 + 10)[None].float(),
        torch.from_numpy(REFERENCE_LANDMARKS * 0.5 + 20)[None].float(),
    ]
    with torch.no_grad():
        before = network(images)
        embeddings = network.embed(before.feature_maps, landmarks)
        fold_batch_norms(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        after = network(images)
        for one, other in zip(before.anchor_outputs, after.anchor_outputs, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
        torch.testing.assert_close(network.embed(after.feature_maps, landmarks), embeddings, rtol=1e-3, atol=1e-4)
