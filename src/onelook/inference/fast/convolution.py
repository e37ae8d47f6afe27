"""A convolution and its activation in one call of oneDNN, by way of torch or past it.

oneDNN applies an activation while a convolution's results are still in the processor's registers, and takes weights
laid out beforehand.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from onelook.inference.fast.onednn import NONE, Activation, Convolution, Prepared, is_available, kept_by_size

_CONVOLUTION = torch.ops.mkldnn._convolution_pointwise.default
_ADDED = torch.ops.mkldnn._convolution_pointwise_.binary


class TorchConvolution(nn.Module):
    """By way of torch. (B, in, H, W) of any type -> (B, out, H/s, W/s).

    Args:
        convolution: without a batch norm after it.
        activation: what its results are put through.
        dtype: of weights.
        result: of results.
    """

    def __init__(self, convolution: nn.Conv2d, activation: Activation, dtype: torch.dtype, result: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._result = result
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
        return result.to(self._result)

    # Without torch's search for hooks, of which there are none: a call is a thousandth of a look.
    __call__ = forward

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total`, changed in place, with the convolution of x added, of a layer without an activation."""
        added: Tensor = _ADDED(total, x.to(self._dtype), *self._weights, *self._shape, "add", 1.0, None, [], None)
        return added


class DirectConvolution(nn.Module):
    """As `TorchConvolution`, prepared once for each size of input; results have their channels innermost."""

    def __init__(self, convolution: nn.Conv2d, activation: Activation, dtype: torch.dtype, result: torch.dtype) -> None:
        super().__init__()
        self.reads = dtype
        self._result = result
        self._activation = activation
        self._convolution = Convolution(convolution, dtype, result)
        self.prepared = kept_by_size(self._prepare)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.reads).contiguous(memory_format=torch.channels_last)
        convolve = self.prepared(x.shape)
        result = torch.empty(convolve.size, dtype=self._result, memory_format=torch.channels_last)
        convolve(x.data_ptr(), result.data_ptr())
        return result

    __call__ = forward

    def into(self, x: Tensor, place: Tensor) -> None:
        """Put results where there is room for them and nothing else, (B, H/s, W/s, out) of their type."""
        x = x.to(self.reads).contiguous(memory_format=torch.channels_last)
        self.prepared(x.shape)(x.data_ptr(), place.data_ptr())

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total`, changed in place, with the convolution of x added, and then put through the activation.

        The channels of `total` are innermost, and its type is that of the layer's results.
        """
        x = x.to(self.reads).contiguous(memory_format=torch.channels_last)
        self.prepared(x.shape, adds=True)(x.data_ptr(), total.data_ptr())
        return total

    def _prepare(self, size: tuple[int, ...], adds: bool = False) -> Prepared:
        """The call for inputs of a size (B, in, H, W), of the layer's type, which adds or replaces what is there."""
        return self._convolution.prepare(size, self._activation, adds=adds)


class FineConvolution(nn.Module):
    """In float32 what is bfloat16 already: with weights in two parts of bfloat16, the second what rounding leaves out.

    Products of two numbers of bfloat16 are exact in float32, which oneDNN adds them in, and two such convolutions are
    quicker than one of float32.
    """

    def __init__(self, convolution: nn.Conv2d, activation: Activation) -> None:
        super().__init__()
        self._rounded = DirectConvolution(convolution, NONE, torch.bfloat16, torch.float32)
        rest = deepcopy(convolution)
        rest.bias = None
        rest.weight = nn.Parameter(convolution.weight - convolution.weight.bfloat16().float())
        self._rest = DirectConvolution(rest, activation, torch.bfloat16, torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self._rest.add_to(self._rounded(x), x)


Fused = TorchConvolution | DirectConvolution


def fuse_conv(
    convolution: nn.Conv2d, activation: Activation, dtype: torch.dtype, result: torch.dtype | None = None
) -> Fused:
    """The convolution and its activation in the cheapest call that there is; results are of `dtype` or of another."""
    return (DirectConvolution if is_available() else TorchConvolution)(convolution, activation, dtype, result or dtype)
