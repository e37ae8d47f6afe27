from pathlib import Path

import pytest
import torch
from torch import nn

from onelook.geometry.alignment import TEMPLATE
from onelook.inference.fast.folding import fold_batch_norms
from onelook.model.deformable import DeformableConv
from onelook.model.joint_network import JointNetwork
from onelook.settings import load_settings


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"backbone": "resnet50"},
        {"backbone": "resnet18", "pyramid_levels": "full", "context": "modulated", "cascade": True},
    ],
    ids=str,
)
def test_a_folded_network_gives_the_same_answers_without_batch_norms(project: Path, form: dict) -> None:
    torch.manual_seed(0)
    settings = load_settings(project / "params.yaml").model
    network = JointNetwork(settings.model_copy(update={"init": "random", **form}))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # untrained ones would fold to nothing
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
            elif isinstance(module, DeformableConv):
                module.offsets.weight.normal_(0, 0.01)
    network.eval()
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    landmarks = [
        torch.from_numpy(TEMPLATE * 0.6 + 10)[None].float(),
        torch.from_numpy(TEMPLATE * 0.5 + 20)[None].float(),
    ]
    with torch.no_grad():
        before = network(images)
        embeddings = network.embed(before.maps, landmarks)
        fold_batch_norms(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        after = network(images)
        for one, other in zip(before.anchors, after.anchors, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
        torch.testing.assert_close(network.embed(after.maps, landmarks), embeddings, rtol=1e-3, atol=1e-4)
