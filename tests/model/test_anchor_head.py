import pytest
import torch
from torch import nn
from torch.nn import functional

from onelook.geometry.anchors import FULL_LEVELS, LIGHT_LEVELS, AnchorLevel, make_anchors
from onelook.model.anchor_head import AnchorHead


def random_features(levels: tuple[AnchorLevel, ...], height: int, width: int, channels: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(-(-height // level.stride), -(-width // level.stride)) for level in levels]
    return [torch.randn(2, channels, *shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize(("levels", "linears"), [(LIGHT_LEVELS, 6), (FULL_LEVELS, 15)])
def test_there_is_a_linear_layer_for_each_anchor_size_of_each_level(
    levels: tuple[AnchorLevel, ...], linears: int
) -> None:
    head = AnchorHead(64, levels, 7)
    assert len(head.linears) == linears
    assert sum(parameter.numel() for parameter in head.parameters()) == linears * (64 + 1) * 7


def test_no_anchors_give_no_outputs() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert AnchorHead(8, LIGHT_LEVELS, 7)(random_features(LIGHT_LEVELS, 64, 64, 8), none, none).shape == (0, 7)


@pytest.mark.parametrize("levels", [LIGHT_LEVELS, FULL_LEVELS])
def test_outputs_equal_a_1x1_convolution_at_the_anchors(levels: tuple[AnchorLevel, ...]) -> None:
    head, maps = AnchorHead(4, levels, 7), random_features(levels, 70, 100, 4)
    linears, of_levels = iter(head.linears), []
    for x, level in zip(maps, levels, strict=True):
        of_sizes = []
        for _ in level.sizes:
            linear = next(linears)
            assert isinstance(linear, nn.Linear)
            of_sizes.append(functional.conv2d(x, linear.weight[:, :, None, None], linear.bias))
        of_levels.append(torch.stack(of_sizes, -1).permute(0, 2, 3, 4, 1).flatten(1, 3))
    at_all_anchors = torch.cat(of_levels, 1)
    count = len(make_anchors(70, 100, levels))
    assert at_all_anchors.shape == (2, count, 7)
    generator = torch.Generator().manual_seed(1)
    images, anchors = torch.randint(2, (40,), generator=generator), torch.randint(count, (40,), generator=generator)
    outputs = head(maps, images, anchors)
    torch.testing.assert_close(outputs, at_all_anchors[images, anchors], rtol=1e-4, atol=1e-5)
    outputs.sum().backward()
    assert head.linears[0].weight.grad is not None
