from pathlib import Path

import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.model.pretrained import build_pretrained, load_imagenet
from onelook.model.resnet import ResNet


def published_state(name: str = "resnet18") -> dict[str, torch.Tensor]:
    """Return a state dict as it is published: with a classifier, without counts of batches."""
    torch.manual_seed(5)
    state = {key: value for key, value in ResNet(name).state_dict().items() if "num_batches" not in key}
    return state | {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}


def test_build_pretrained_fills_the_backbone_from_the_file(tmp_path: Path) -> None:
    state, path = published_state(), tmp_path / "resnet18.pth"
    torch.save(state, path)
    settings = light_model(
        tiny_embedding(8), backbone="resnet18", fpn_channels=16, init="imagenet", checkpoint=str(path)
    )
    backbone = build_pretrained(settings).detector.backbone.state_dict()
    assert all(backbone[name].equal(value) for name, value in state.items() if not name.startswith("fc."))


def test_file_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save(published_state("resnet34"), tmp_path / "resnet34.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("not a state dict")
    for name in ("resnet34.pth", "list.pth", "text.pth", "missing.pth"):
        with pytest.raises(ModelError, match=name) as caught:
            load_imagenet(ResNet("resnet18"), tmp_path / name)
        assert "\n" not in str(caught.value)
