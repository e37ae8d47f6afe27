"""ResNet backbones against the same networks in torch functions, and literal parameter counts."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

from onelook.model.resnet import ResNet

# Blocks of each stage, whether they are bottlenecks, parameters without the classifier, entries of the state dict.
PUBLISHED = {
    "resnet18": ((2, 2, 2, 2), False, 11_176_512, 120),
    "resnet34": ((3, 4, 6, 3), False, 21_284_672, 216),
    "resnet50": ((3, 4, 6, 3), True, 23_508_032, 318),
    "resnet101": ((3, 4, 23, 3), True, 42_500_160, 624),
    "resnet152": ((3, 8, 36, 3), True, 58_143_808, 930),
}


def random_resnet(name: str) -> ResNet:
    """Return a ResNet whose batch norms are random."""
    torch.manual_seed(0)
    resnet = ResNet(name).eval()
    for key, value in resnet.state_dict().items():
        if key.endswith("running_mean") or ("bn" in key and key.endswith("bias")):
            value.normal_(0, 0.2)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return resnet


def functional_resnet(
    state: dict[str, Tensor], images: Tensor, depths: tuple[int, ...], bottleneck: bool
) -> list[Tensor]:
    """Compute the five maps from the public key names alone."""

    def layer(x: Tensor, conv: str, norm: str, stride: int, padding: int) -> Tensor:
        x = conv2d(x, state[f"{conv}.weight"], None, stride, padding)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"])

    x = relu(layer(images, "conv1", "bn1", 2, 3))
    maps = [x]
    x = max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate(depths, start=1):
        for number in range(depth):
            block, stride = f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1
            if bottleneck:
                y = relu(layer(x, f"{block}.conv1", f"{block}.bn1", 1, 0))
                y = relu(layer(y, f"{block}.conv2", f"{block}.bn2", stride, 1))
                y = layer(y, f"{block}.conv3", f"{block}.bn3", 1, 0)
            else:
                y = relu(layer(x, f"{block}.conv1", f"{block}.bn1", stride, 1))
                y = layer(y, f"{block}.conv2", f"{block}.bn2", 1, 1)
            if number == 0 and (bottleneck or stage > 1):
                x = layer(x, f"{block}.downsample.0", f"{block}.downsample.1", stride, 0)
            x = relu(y + x)
        maps.append(x)
    return maps


@pytest.mark.parametrize("name", PUBLISHED)
def test_maps_equal_the_functional_network(name: str) -> None:
    depths, bottleneck, _, _ = PUBLISHED[name]
    resnet = random_resnet(name)
    images = torch.randn(2, 3, 45, 70)
    with torch.inference_mode():
        maps = resnet(images)
        expected = functional_resnet(resnet.state_dict(), images, depths, bottleneck)
    # Random batch norms make the values grow with depth, so the tolerance is relative to the largest.
    for found, reference in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-4, atol=1e-5 * float(reference.abs().max()))


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_have_the_published_number_and_names(name: str) -> None:
    _, bottleneck, parameters, entries = PUBLISHED[name]
    resnet = ResNet(name)
    assert sum(parameter.numel() for parameter in resnet.parameters()) == parameters
    names = resnet.state_dict().keys()
    assert len(names) == entries and ("layer1.0.conv3.weight" in names) == bottleneck
    assert {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.bias", "layer2.0.downsample.1.running_var"} <= names


@pytest.mark.parametrize(("name", "channels"), [("resnet18", (64, 64, 128, 256, 512))])
def test_map_sides_are_rounded_up(name: str, channels: tuple[int, ...]) -> None:
    resnet = ResNet(name).eval()
    assert resnet.channels == channels and ResNet("resnet50").channels == (64, 256, 512, 1024, 2048)
    shapes = [tuple(x.shape) for x in resnet(torch.zeros(1, 3, 33, 65))]
    assert shapes == [(1, 64, 17, 33), (1, 64, 9, 17), (1, 128, 5, 9), (1, 256, 3, 5), (1, 512, 2, 3)]


def test_later_layers_do_not_change_the_returned_maps() -> None:
    resnet = random_resnet("resnet18")
    images = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        first = resnet.relu(resnet.bn1(resnet.conv1(images)))
        torch.testing.assert_close(resnet(images)[0], first)
