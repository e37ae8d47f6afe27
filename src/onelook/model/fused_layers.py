"""Layers for looking alone: convolutions with what follows them in one call of oneDNN, which torch brings.

oneDNN applies an activation while a convolution's results are still in the processor's registers, and takes weights
laid out beforehand. It prepares every call anew, a product of matrices sooner than a convolution: of some seventy in a
look, fewer calls and cheaper ones count as much as arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorOutputs
from onelook.model.embedding import SplitProjection, add_projected
from onelook.model.heads import HEAD_SIZES, DetectionHeads
from onelook.model.layers import LEAK, ConvNorm
from onelook.model.pyramid import Context

Activation = tuple[str, *tuple[float, ...]]

NONE: Activation = ("none",)
_LEAKY: Activation = ("leaky_relu", LEAK)
_CONVOLUTION = torch.ops.mkldnn._convolution_pointwise.default
_ADDED = torch.ops.mkldnn._convolution_pointwise_.binary
_PRODUCT = torch.ops.mkldnn._linear_pointwise.default
_PRODUCT_ADDED = torch.ops.mkldnn._linear_pointwise.binary


class FusedConvolution(nn.Module):
    """A convolution and an activation in one call of oneDNN. (B, in, H, W) of any type -> (B, out, H/s, W/s).

    Args:
        convolution: without a batch norm after it.
        activation: oneDNN's name and numbers: ("none",), ("leaky_relu", slope) or ("hardtanh", low, high).
        dtype: of weights and results.
    """

    def __init__(self, convolution: nn.Conv2d, activation: Activation, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        shape = list(convolution.padding), list(convolution.stride), list(convolution.dilation), convolution.groups
        weight = convolution.weight.detach().to(dtype)
        # Held in a tuple: torch would look for its own parameters and buffers first, at every call.
        self._weights = (
            torch.ops.mkldnn._reorder_convolution_weight(weight, *shape, None),
            None if convolution.bias is None else convolution.bias.detach().to(dtype),
        )
        name, *numbers = activation
        self._rest = (*shape, name, numbers, "")
        self._shape = shape

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _CONVOLUTION(x.to(self._dtype), *self._weights, *self._rest)
        return result

    # Without torch's search for hooks, of which there are none: a call is a thousandth of a look.
    __call__ = forward

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total`, changed in place, with the convolution of x added; what the activation is does not count."""
        added: Tensor = _ADDED(total, x.to(self._dtype), *self._weights, *self._shape, "add", 1.0, None, [], None)
        return added


class FusedPointwise(nn.Module):
    """A 1x1 convolution as `FusedConvolution`, by a product of matrices: pixels are rows, channels being innermost."""

    def __init__(self, convolution: nn.Conv2d, activation: Activation, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        matrix = convolution.weight.detach().flatten(1).to(dtype)
        self._weights = (
            torch.ops.mkldnn._reorder_linear_weight(matrix),
            None if convolution.bias is None else convolution.bias.detach().to(dtype),
        )
        name, *numbers = activation
        self._rest = (name, numbers, "")

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _PRODUCT(x.to(self._dtype).permute(0, 2, 3, 1), *self._weights, *self._rest)
        return result.permute(0, 3, 1, 2)

    __call__ = forward

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """As `FusedConvolution.add_to`, but `total` stays what it was."""
        rows = x.to(self._dtype).permute(0, 2, 3, 1)
        before = total.to(self._dtype).permute(0, 2, 3, 1)
        added: Tensor = _PRODUCT_ADDED(rows, before, *self._weights, "add")
        return added.permute(0, 3, 1, 2)


Fused = FusedConvolution | FusedPointwise


def fused(convolution: nn.Conv2d, activation: Activation, dtype: torch.dtype) -> Fused:
    """The convolution and its activation in the cheaper of the two calls."""
    pointwise = convolution.kernel_size == convolution.stride == (1, 1) and convolution.groups == 1
    return (FusedPointwise if pointwise else FusedConvolution)(convolution, activation, dtype)


class FusedResidual(nn.Module):
    """An inverted residual, of a body whose convolutions are fused: the last one adds to what came in."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.inner, last = body[:-1], body[-1]
        assert isinstance(last, Fused)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last.add_to(x, self.inner(x))


class Rounding(nn.Module):
    """From one floating-point type to another."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self._dtype)


class JoinedHeads(nn.Module):
    """The detection heads, those of each level as one convolution; answers as `DetectionHeads`, in float32."""

    def __init__(self, heads: DetectionHeads) -> None:
        super().__init__()
        self.joined = nn.ModuleList(
            fused(_by_anchor(convolutions), NONE, torch.float32)
            for convolutions in zip(heads.logits, heads.boxes, heads.landmarks, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        told = [joined(x).permute(0, 2, 3, 1) for joined, x in zip(self.joined, maps, strict=True)]
        rows = torch.cat([each.reshape(len(each), -1, sum(HEAD_SIZES)) for each in told], 1)
        return AnchorOutputs(*rows.split(HEAD_SIZES, 2))


class JoinedContext(nn.Module):
    """A context module in four calls for five: the two convolutions that read the first step are one.

    What is put out gets a ReLU, what leads on a leaky one. A ReLU makes the same of a leaky one's result as of what
    went into it, so both get the leaky one first, and what is put out the other afterwards.

    The two that read what comes in stay two: for their 48 outputs oneDNN wants the weights laid out otherwise where
    maps are small, and does that anew at every call.
    """

    def __init__(self, context: Context, dtype: torch.dtype) -> None:
        super().__init__()
        self.near, self.step, self.middle_and_far_step, self.far = (
            FusedConvolution(side_by_side([_convolution(part) for part in parts]), _LEAKY, dtype)
            for parts in ((context.near,), (context.step,), (context.middle, context.far_step), (context.far,))
        )

    def forward(self, x: Tensor) -> Tensor:
        middle, far_step = self.middle_and_far_step(self.step(x)).chunk(2, 1)
        return torch.cat([self.near(x), middle, self.far(far_step)], 1).relu_()


class FusedProjection(nn.Module):
    """As `SplitProjection`, with its weights laid out once."""

    def __init__(self, projection: SplitProjection, dtype: torch.dtype) -> None:
        super().__init__()
        kernel, matrices = projection.split()
        finest = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], kernel.shape[2])
        finest.weight, finest.bias = nn.Parameter(kernel), projection.bias
        self.finest = FusedConvolution(finest, NONE, dtype)
        self._matrices = [matrix.detach().to(dtype) for matrix in matrices]

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        return add_projected(self.finest(parts[0]), parts[1:], self._matrices)


def side_by_side(convolutions: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """Convolutions of the same input and shape as one, their outputs one after the other."""
    first = convolutions[0]
    outputs = sum(each.out_channels for each in convolutions)
    joined = nn.Conv2d(first.in_channels, outputs, first.kernel_size, first.stride, first.padding)  # type: ignore[arg-type]
    joined.weight = nn.Parameter(torch.cat([each.weight for each in convolutions]))
    joined.bias = nn.Parameter(torch.cat([each.bias for each in convolutions if each.bias is not None]))
    return joined


def _by_anchor(convolutions: Sequence[nn.Module]) -> nn.Conv2d:
    """The heads of a level as one 1x1 convolution that tells all of an anchor, then all of the next."""
    known = [each for each in convolutions if isinstance(each, nn.Conv2d)]
    joined = side_by_side(known)
    order = zip(torch.arange(joined.out_channels).split([each.out_channels for each in known]), HEAD_SIZES, strict=True)
    rows = torch.cat([places.view(-1, size) for places, size in order], 1).flatten()
    assert joined.bias is not None
    joined.weight, joined.bias = nn.Parameter(joined.weight[rows]), nn.Parameter(joined.bias[rows])
    return joined


def _convolution(layer: ConvNorm) -> nn.Conv2d:
    assert isinstance(layer.conv, nn.Conv2d)
    return layer.conv
