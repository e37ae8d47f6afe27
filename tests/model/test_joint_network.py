import pytest
import torch
from torch import nn

from helpers.networks import light_model, tiny_embedding, upright_faces
from onelook.model.joint_network import JointNetwork

SETTINGS = light_model(tiny_embedding(8))


def changed_statistics(network: JointNetwork) -> set[str]:
    """Return the names of the batch-norm statistics that a training step changes."""
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    output = network(torch.randint(0, 256, (2, 3, 96, 96)).float())
    network.embed(output.feature_maps, [upright_faces((10, 10, 60)), upright_faces((20, 20, 60))])
    return {name for name, value in network.state_dict().items() if "running" in name and not value.equal(before[name])}


def test_embed_applies_the_embedding_head_to_the_feature_maps() -> None:
    torch.manual_seed(0)
    network = JointNetwork(SETTINGS).eval()
    output = network(torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8))
    landmarks = [upright_faces((10, 10, 60), (20, 30, 50)), torch.zeros(0, 5, 2)]
    embeddings = network.embed(output.feature_maps, landmarks)
    assert embeddings.shape == (2, 8) and embeddings.equal(network.embedding(output.feature_maps, landmarks))


@pytest.mark.parametrize("init", ["wheel", "checkpoint"])
def test_pretrained_detector_keeps_its_statistics_in_training(init: str) -> None:
    changed = changed_statistics(JointNetwork(SETTINGS.model_copy(update={"init": init})))
    assert changed and all(name.startswith("embedding.") for name in changed)


def test_released_network_keeps_all_statistics_in_training() -> None:
    assert not changed_statistics(JointNetwork(SETTINGS.model_copy(update={"init": "released"})))


def test_imagenet_backbone_alone_keeps_its_statistics_in_training() -> None:
    network = JointNetwork(
        light_model(tiny_embedding(8), backbone="resnet18", fpn_channels=16, init="imagenet")
    ).train()
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms
    assert all(module.training is not name.startswith("detector.backbone.") for name, module in norms.items())


def test_released_backbone_of_a_grid_alone_keeps_its_statistics_in_training() -> None:
    changed = changed_statistics(JointNetwork(light_model(tiny_embedding(8), architecture="grid", init="released")))
    assert changed and not any(name.startswith("detector.backbone.") for name in changed)
    assert {name.split(".")[1] for name in changed} == {"smooth", "projection"}  # 160 pixels need no encoder


def test_random_network_updates_all_statistics_in_training() -> None:
    changed = changed_statistics(JointNetwork(SETTINGS))
    assert {name.partition(".")[0] for name in changed} == {"detector", "embedding"}
