from itertools import product
from math import floor

import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional

from onelook.model.conv_norm import ConvNorm
from onelook.model.deformable import DeformableConv, deform_conv2d


def bilinear(x: Tensor, y: float, across: float) -> Tensor:
    """Sample a map (c, H, W) at one point, zeros outside, by the definition; returns (c,)."""
    total = torch.zeros(len(x), dtype=x.dtype)
    for row, column in product((floor(y), floor(y) + 1), (floor(across), floor(across) + 1)):
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            total += (1 - abs(y - row)) * (1 - abs(across - column)) * x[:, row, column]
    return total


def naive_deform_conv2d(x: Tensor, weight: Tensor, bias: Tensor, offsets: Tensor, mask: Tensor | None) -> Tensor:
    """Compute equation 1 of Zhu et al. 2019, one output cell after the other."""
    batch, _, height, width = x.shape
    out = torch.zeros(batch, len(weight), height, width, dtype=x.dtype)
    for b, i, j in product(range(batch), range(height), range(width)):
        value = bias.clone()
        for k in range(9):
            y = i + k // 3 - 1 + float(offsets[b, 2 * k, i, j])
            across = j + k % 3 - 1 + float(offsets[b, 2 * k + 1, i, j])
            sample = bilinear(x[b], y, across) * (1 if mask is None else mask[b, k, i, j])
            value += weight[:, :, k // 3, k % 3] @ sample
        out[b, :, i, j] = value
    return out


def random_case(height: int, width: int, *, spread: float = 1.5) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height * 100 + width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    offsets = normal(2, 18, height, width) * spread
    return normal(2, 3, height, width), normal(4, 3, 3, 3), normal(4), offsets, normal(2, 9, height, width).sigmoid()


@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 4), (3, 1)])
@pytest.mark.parametrize("modulated", [False, True])
def test_deform_conv2d_equals_the_sum_in_the_papers(height: int, width: int, modulated: bool) -> None:
    x, weight, bias, offsets, mask = random_case(height, width)
    selected_mask = mask if modulated else None
    expected = naive_deform_conv2d(x, weight, bias, offsets, selected_mask)
    torch.testing.assert_close(deform_conv2d(x, weight, bias, offsets, selected_mask), expected)


def test_integer_offsets_shift_the_map_and_large_offsets_leave_it() -> None:
    x, weight, bias, offsets, _ = random_case(5, 6)
    shifted = torch.zeros_like(offsets)
    shifted[:, 0::2], shifted[:, 1::2] = 1, -2
    moved = functional.pad(x, (2, 0, 0, 1))[:, :, 1:, :-2]
    inside = functional.conv2d(moved, weight, bias, padding=1)[:, :, 1:-2, 3:-1]
    torch.testing.assert_close(deform_conv2d(x, weight, bias, shifted, None)[:, :, 1:-2, 3:-1], inside)
    outside = deform_conv2d(x, weight, bias, torch.full_like(offsets, 50), None)
    torch.testing.assert_close(outside, bias[:, None, None].expand_as(outside))


def test_gradients_equal_finite_differences() -> None:
    x, weight, bias, offsets, mask = (value.requires_grad_() for value in random_case(3, 4, spread=0.3))
    assert torch.autograd.gradcheck(deform_conv2d, (x, weight, bias, offsets, mask), atol=1e-5)


@pytest.mark.parametrize(("modulated", "factor"), [(False, 1.0), (True, 0.5)])
def test_untrained_layer_is_the_plain_convolution_with_gradients_at_its_offsets(modulated: bool, factor: float) -> None:
    torch.manual_seed(0)
    convolution = DeformableConv(5, 4, modulated=modulated)
    x = torch.randn(2, 5, 9, 7)
    found = convolution(x)
    expected = functional.conv2d(x, convolution.weight, padding=1) * factor
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    gradient = convolution.offsets.weight.grad
    assert gradient is not None and bool((gradient.flatten(1).abs().sum(1) > 0).all())


@pytest.mark.parametrize("sampling", ["deformable", "modulated"])
def test_untrained_layer_with_batch_norm_equals_the_plain_one_in_training(sampling: str) -> None:
    layers = []
    for kind in ("plain", sampling):
        torch.manual_seed(0)
        layers.append(ConvNorm(6, 8, sampling=kind).train())
    layers[1].conv.weight.data.copy_(layers[0].conv.weight)
    x = torch.randn(4, 6, 10, 11)
    # The epsilon of a batch norm has four times the effect on values of half the size.
    torch.testing.assert_close(layers[1](x), layers[0](x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("modulated", [False, True])
def test_deform_conv2d_equals_torchvision(modulated: bool) -> None:
    ops = pytest.importorskip("torchvision.ops", exc_type=ImportError)
    x, weight, bias, offsets, mask = random_case(6, 5)
    selected_mask = mask if modulated else None
    expected = ops.deform_conv2d(x, offsets, weight, bias, padding=1, mask=selected_mask)
    torch.testing.assert_close(deform_conv2d(x, weight, bias, offsets, selected_mask), expected)


@pytest.mark.parametrize("modulated", [False, True])
def test_deform_conv2d_equals_the_onnx_operator(modulated: bool) -> None:
    x, weight, bias, offsets, mask = random_case(6, 5)
    inputs = {"x": x, "w": weight, "o": offsets, "b": bias} | ({"m": mask} if modulated else {})
    node = helper.make_node("DeformConv", list(inputs), ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in (*inputs, "y")]
    model = helper.make_model(
        helper.make_graph([node], "one", values[:-1], values[-1:]), opset_imports=[helper.make_opsetid("", 19)]
    )
    expected = ReferenceEvaluator(model).run(None, {name: value.numpy() for name, value in inputs.items()})[0]
    found = deform_conv2d(x, weight, bias, offsets, mask if modulated else None)
    # The ONNX reference computes positions in single precision.
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
