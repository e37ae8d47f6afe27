import pytest
import torch

from onelook.model.embedding_head import InvertedResidual
from onelook.model.retinaface import ConvNorm, DepthwiseSeparable


def test_a_block_of_stride_two_halves_odd_sides_upwards() -> None:
    assert DepthwiseSeparable(4, 6, stride=2)(torch.zeros(2, 4, 9, 12)).shape == (2, 6, 5, 6)


def test_the_leak_lets_a_tenth_of_the_negative_through() -> None:
    layer = ConvNorm(1, 1, kernel=1).eval()
    with torch.no_grad():
        layer[0].weight.fill_(1)
    found = layer(torch.tensor([[[[-2.0, 3.0]]]])).flatten().tolist()
    assert found == pytest.approx([-0.2, 3.0], rel=1e-4)


def test_an_inverted_residual_adds_its_input_only_where_shapes_agree() -> None:
    x = torch.rand(1, 8, 6, 6)
    block = InvertedResidual(8, 8).eval()
    with torch.no_grad():
        block.body[-1][0].weight.zero_()
    torch.testing.assert_close(block(x), x)
    assert not InvertedResidual(8, 16).residual and not InvertedResidual(8, 8, stride=2).residual
