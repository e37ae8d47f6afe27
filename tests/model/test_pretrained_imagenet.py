from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained, load_imagenet
from onelook.model.resnet import ResNet
from onelook.settings import ModelSettings

EMBEDDING = tiny_embedding(8)


def settings(path: Path) -> ModelSettings:
    return light_model(EMBEDDING, backbone="resnet18", pyramid=16, start="imagenet", checkpoint=str(path))


def published(name: str = "resnet18") -> dict[str, torch.Tensor]:
    """A state dict as they are published: with a classifier, and without counts of batches."""
    torch.manual_seed(5)
    state = {key: value for key, value in ResNet(name).state_dict().items() if "num_batches" not in key}
    return state | {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}


def test_the_trunk_starts_from_the_file_and_nothing_else_does(tmp_path: Path) -> None:
    state = published()
    torch.save(state, tmp_path / "resnet18.pth")
    network = build_pretrained(settings(tmp_path / "resnet18.pth"))
    trunk = network.detector.trunk.state_dict()
    assert all(trunk[name].equal(value) for name, value in state.items() if not name.startswith("fc."))


def test_another_network_s_file_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save(published("resnet34"), tmp_path / "resnet34.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("not a state dict")
    for name in ("resnet34.pth", "list.pth", "text.pth", "missing.pth"):
        with pytest.raises(ModelError, match=name) as caught:
            load_imagenet(ResNet("resnet18"), tmp_path / name)
        assert "\n" not in str(caught.value)


def test_pixels_are_normalized_as_the_weights_are_used_to() -> None:
    """Red green blue in 0..1, less .485, .456, .406, by .229, .224, .225."""
    network = JointNetwork(settings(Path("none")).model_copy(update={"init": "random"})).eval()
    seen = []
    network.detector.trunk.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    network(images)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (images / 255 - mean[:, None, None]) / deviation[:, None, None]
    torch.testing.assert_close(seen[0], wanted, rtol=1e-4, atol=1e-4)


def test_the_maps_to_embed_from_lie_at_the_same_strides_as_those_of_the_light_trunk() -> None:
    network = JointNetwork(settings(Path("none")).model_copy(update={"init": "random"})).eval()
    shapes = [tuple(x.shape) for x in network(torch.zeros(1, 3, 64, 96)).maps]
    assert shapes == [(1, 64, 32, 48), (1, 64, 16, 24), (1, 16, 8, 12), (1, 16, 4, 6)]


def test_in_training_the_trunk_alone_keeps_its_statistics(tmp_path: Path) -> None:
    torch.save(published(), tmp_path / "resnet18.pth")
    network = build_pretrained(settings(tmp_path / "resnet18.pth")).train()
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms and all(module.training is not name.startswith("detector.trunk.") for name, module in norms.items())
