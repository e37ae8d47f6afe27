"""Convolutions with a fused activation: one oneDNN primitive each, called directly or through torch.

oneDNN applies the activation while the outputs are in registers, and reads weights in a layout packed beforehand.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from onelook.inference.fast.onednn import (
    NO_ACTIVATION,
    Activation,
    ConvPrimitive,
    PreparedPrimitive,
    cache_by_shape,
    is_available,
)

_CONV = torch.ops.mkldnn._convolution_pointwise.default
_CONV_ADD = torch.ops.mkldnn._convolution_pointwise_.binary


class TorchFusedConv(nn.Module):
    """Convolution and activation in one of torch's mkldnn operators.

    (B, in, H, W) of any data type -> (B, out, H / stride, W / stride).

    Args:
        conv: convolution without a batch norm after it.
        activation: applied to the output.
        weight_dtype: data type of the weights; inputs are converted to it.
        output_dtype: data type of the output.
    """

    def __init__(
        self, conv: nn.Conv2d, activation: Activation, weight_dtype: torch.dtype, output_dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.input_dtype = weight_dtype
        self._output_dtype = output_dtype
        geometry = list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
        weight = conv.weight.detach().to(weight_dtype)
        # A tuple, as nn.Module searches its parameters and buffers first at each access of a tensor attribute.
        self._weights = (
            torch.ops.mkldnn._reorder_convolution_weight(weight, *geometry, None),
            None if conv.bias is None else conv.bias.detach().to(weight_dtype),
        )
        name, *parameters = activation
        self._arguments = (*geometry, name, parameters, "")
        self._geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = _CONV(x.to(self.input_dtype), *self._weights, *self._arguments)
        return output.to(self._output_dtype)

    # Skips nn.Module.__call__ and its search for hooks, of which there are none.
    __call__ = forward

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of x to `total` in place; for a layer without an activation."""
        added: Tensor = _CONV_ADD(
            total, x.to(self.input_dtype), *self._weights, *self._geometry, "add", 1.0, None, [], None
        )
        return added


class OneDnnConv(nn.Module):
    """Convolution and activation in an oneDNN primitive, created once for each input shape.

    As `TorchFusedConv`; outputs are in channels-last memory format.
    """

    def __init__(
        self, conv: nn.Conv2d, activation: Activation, weight_dtype: torch.dtype, output_dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.input_dtype = weight_dtype
        self._output_dtype = output_dtype
        self._activation = activation
        self._conv = ConvPrimitive(conv, weight_dtype, output_dtype)
        self.primitive = cache_by_shape(self._create_primitive)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.input_dtype).contiguous(memory_format=torch.channels_last)
        convolve = self.primitive(x.shape)
        output = torch.empty(convolve.shape, dtype=self._output_dtype, memory_format=torch.channels_last)
        convolve(x.data_ptr(), output.data_ptr())
        return output

    __call__ = forward

    def write_to(self, destination: Tensor, x: Tensor) -> None:
        """Write the output to a contiguous tensor (B, H / stride, W / stride, out) of the output's data type."""
        x = x.to(self.input_dtype).contiguous(memory_format=torch.channels_last)
        self.primitive(x.shape)(x.data_ptr(), destination.data_ptr())

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the convolution of x to `total` in place, then apply the activation.

        `total` has the output's data type and channels-last memory format.
        """
        x = x.to(self.input_dtype).contiguous(memory_format=torch.channels_last)
        self.primitive(x.shape, accumulate=True)(x.data_ptr(), total.data_ptr())
        return total

    def _create_primitive(self, shape: tuple[int, ...], accumulate: bool = False) -> PreparedPrimitive:
        return self._conv.create(shape, self._activation, accumulate=accumulate)


class SplitWeightConv(nn.Module):
    """Convolution of bfloat16 inputs in float32 precision, by two bfloat16 convolutions.

    Each weight is the sum of its bfloat16 rounding and a bfloat16 remainder. Products of two bfloat16 numbers are exact
    in the float32 accumulators. Faster than one float32 convolution (`docs/profile.md`).
    """

    def __init__(self, conv: nn.Conv2d, activation: Activation) -> None:
        super().__init__()
        self._rounded = OneDnnConv(conv, NO_ACTIVATION, torch.bfloat16, torch.float32)
        remainder = deepcopy(conv)
        remainder.bias = None
        remainder.weight = nn.Parameter(conv.weight - conv.weight.bfloat16().float())
        self._remainder = OneDnnConv(remainder, activation, torch.bfloat16, torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self._remainder.add_to(self._rounded(x), x)


FusedConv = TorchFusedConv | OneDnnConv


def fuse_conv(
    conv: nn.Conv2d,
    activation: Activation,
    weight_dtype: torch.dtype,
    output_dtype: torch.dtype | None = None,
    *,
    use_onednn: bool | None = None,
) -> FusedConv:
    """Fuse a convolution and its activation.

    Args:
        conv: convolution without a batch norm after it.
        activation: applied to the output.
        weight_dtype: data type of the weights; inputs are converted to it.
        output_dtype: data type of the output; that of the weights by default.
        use_onednn: call oneDNN directly instead of through torch; by default where `onednn.is_available()`.
    """
    fused = OneDnnConv if (is_available() if use_onednn is None else use_onednn) else TorchFusedConv
    return fused(conv, activation, weight_dtype, output_dtype or weight_dtype)
