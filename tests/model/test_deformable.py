from itertools import product
from math import floor

import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional

from onelook.model.deformable import DeformableConv, deformed
from onelook.model.retinaface import ConvNorm


def bilinear(x: Tensor, y: float, across: float) -> Tensor:
    """One sample (c,) of a map (c, H, W), 0 outside, from the definition."""
    total = torch.zeros(len(x), dtype=x.dtype)
    for row, column in product((floor(y), floor(y) + 1), (floor(across), floor(across) + 1)):
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            total += (1 - abs(y - row)) * (1 - abs(across - column)) * x[:, row, column]
    return total


def position_by_position(x: Tensor, weight: Tensor, bias: Tensor, offsets: Tensor, mask: Tensor | None) -> Tensor:
    """Zhu et al. 2019, equation 1, one output cell after the other."""
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


def drawn(height: int, width: int, *, spread: float = 1.5) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height * 100 + width)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    offsets = normal(2, 18, height, width) * spread
    return normal(2, 3, height, width), normal(4, 3, 3, 3), normal(4), offsets, normal(2, 9, height, width).sigmoid()


@pytest.mark.parametrize(("height", "width"), [(5, 6), (1, 4), (3, 1)])
@pytest.mark.parametrize("modulated", [False, True])
def test_it_is_the_sum_over_positions_that_the_papers_define(height: int, width: int, modulated: bool) -> None:
    x, weight, bias, offsets, mask = drawn(height, width)
    chosen = mask if modulated else None
    wanted = position_by_position(x, weight, bias, offsets, chosen)
    torch.testing.assert_close(deformed(x, weight, bias, offsets, chosen), wanted)


def test_whole_and_far_offsets_shift_and_leave_the_map() -> None:
    x, weight, bias, offsets, _ = drawn(5, 6)
    shifted = torch.zeros_like(offsets)
    shifted[:, 0::2], shifted[:, 1::2] = 1, -2
    moved = functional.pad(x, (2, 0, 0, 1))[:, :, 1:, :-2]
    inside = functional.conv2d(moved, weight, bias, padding=1)[:, :, 1:-2, 3:-1]
    torch.testing.assert_close(deformed(x, weight, bias, shifted, None)[:, :, 1:-2, 3:-1], inside)
    outside = deformed(x, weight, bias, torch.full_like(offsets, 50), None)
    torch.testing.assert_close(outside, bias[:, None, None].expand_as(outside))


def test_gradients_of_all_that_is_learned_are_those_of_finite_differences() -> None:
    x, weight, bias, offsets, mask = (value.requires_grad_() for value in drawn(3, 4, spread=0.3))
    assert torch.autograd.gradcheck(deformed, (x, weight, bias, offsets, mask), atol=1e-5)


@pytest.mark.parametrize(("modulated", "share"), [(False, 1.0), (True, 0.5)])
def test_untrained_it_is_the_plain_convolution_and_its_offsets_learn_at_once(modulated: bool, share: float) -> None:
    torch.manual_seed(0)
    convolution = DeformableConv(5, 4, modulated=modulated)
    x = torch.randn(2, 5, 9, 7)
    found = convolution(x)
    wanted = functional.conv2d(x, convolution.weight, padding=1) * share
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    gradient = convolution.offsets.weight.grad
    assert gradient is not None and bool((gradient.flatten(1).abs().sum(1) > 0).all())


@pytest.mark.parametrize("sampling", ["deformable", "modulated"])
def test_behind_a_batch_norm_in_training_an_untrained_one_is_the_plain_one(sampling: str) -> None:
    layers = []
    for form in ("plain", sampling):
        torch.manual_seed(0)
        layers.append(ConvNorm(6, 8, sampling=form).train())
    layers[1].conv.weight.data.copy_(layers[0].conv.weight)
    x = torch.randn(4, 6, 10, 11)
    # A norm's epsilon weighs four times as much on half the numbers.
    torch.testing.assert_close(layers[1](x), layers[0](x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("modulated", [False, True])
def test_torchvision_s_kernel_gives_the_same(modulated: bool) -> None:
    ops = pytest.importorskip("torchvision.ops", exc_type=ImportError)
    x, weight, bias, offsets, mask = drawn(6, 5)
    chosen = mask if modulated else None
    wanted = ops.deform_conv2d(x, offsets, weight, bias, padding=1, mask=chosen)
    torch.testing.assert_close(deformed(x, weight, bias, offsets, chosen), wanted)


@pytest.mark.parametrize("modulated", [False, True])
def test_it_is_onnx_s_deformable_convolution(modulated: bool) -> None:
    x, weight, bias, offsets, mask = drawn(6, 5)
    inputs = {"x": x, "w": weight, "o": offsets, "b": bias} | ({"m": mask} if modulated else {})
    node = helper.make_node("DeformConv", list(inputs), ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in (*inputs, "y")]
    model = helper.make_model(
        helper.make_graph([node], "one", values[:-1], values[-1:]), opset_imports=[helper.make_opsetid("", 19)]
    )
    wanted = ReferenceEvaluator(model).run(None, {name: value.numpy() for name, value in inputs.items()})[0]
    found = deformed(x, weight, bias, offsets, mask if modulated else None)
    # Its places are single precision.
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=1e-4, atol=1e-5)
