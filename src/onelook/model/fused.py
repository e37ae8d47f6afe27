"""A network that will only look: convolutions with what follows them in one call, in bfloat16 where that pays.

oneDNN, which torch brings, applies an activation while a convolution's results are still in the processor's registers,
and takes weights laid out beforehand. In bfloat16 a processor that multiplies in it does twice as much in the same
time, and half as much has to be moved.
"""

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorOutputs
from onelook.model.backbone import MobileNet
from onelook.model.deformable import DeformableConv
from onelook.model.embedding import EmbeddingHead, SplitProjection, add_projected
from onelook.model.folding import fold_batch_norms
from onelook.model.heads import HEAD_SIZES, DetectionHeads
from onelook.model.joint import Detector, JointNetwork
from onelook.model.layers import ConvNorm, InvertedResidual
from onelook.settings import Precision

Activation = tuple[str, *tuple[float, ...]]

_NONE: Activation = ("none",)
_CONVOLUTION = torch.ops.mkldnn._convolution_pointwise.default
_ADDED = torch.ops.mkldnn._convolution_pointwise_.binary
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
        """`total` with the convolution of x added in place; what the activation is does not count."""
        added: Tensor = _ADDED(total, x.to(self._dtype), *self._weights, *self._shape, "add", 1.0, None, [], None)
        return added


class FusedResidual(nn.Module):
    """An inverted residual whose last convolution adds to what came in."""

    def __init__(self, block: InvertedResidual, dtype: torch.dtype) -> None:
        super().__init__()
        _fuse(block.body, dtype)
        self.inner, last = block.body[:-1], block.body[-1]
        assert isinstance(last, FusedConvolution)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last.add_to(x, self.inner(x))


def fastest_precision() -> Precision:
    """bfloat16 where the processor multiplies in it, else float32."""
    known = torch.cpu.get_capabilities()
    return "bfloat16" if known.get("avx512_bf16") or known.get("amx_bf16") else "float32"


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
            FusedConvolution(_side_by_side(convolutions), _NONE, torch.float32)
            for convolutions in zip(heads.logits, heads.boxes, heads.landmarks, strict=True)
        )

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        told = [joined(x).permute(0, 2, 3, 1).flatten(1, 2) for joined, x in zip(self.joined, maps, strict=True)]
        parts = [each.split([each.shape[2] * size // sum(HEAD_SIZES) for size in HEAD_SIZES], 2) for each in told]
        outputs = (
            torch.cat([part.flatten(1) for part in of_all], 1).unflatten(1, (-1, size))
            for of_all, size in zip(zip(*parts, strict=True), HEAD_SIZES, strict=True)
        )
        return AnchorOutputs(*outputs)


class FusedProjection(nn.Module):
    """As `SplitProjection`, with its weights laid out once."""

    def __init__(self, projection: SplitProjection, dtype: torch.dtype) -> None:
        super().__init__()
        kernel, matrices = projection.split()
        finest = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], kernel.shape[2])
        finest.weight, finest.bias = nn.Parameter(kernel), projection.bias
        self.finest = FusedConvolution(finest, _NONE, dtype)
        self._matrices = [matrix.detach().to(dtype) for matrix in matrices]

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        return add_projected(self.finest(parts[0]), parts[1:], self._matrices)


def make_ready(network: JointNetwork, precision: Precision) -> JointNetwork:
    """The network, changed in place so that it looks faster; it cannot be trained or saved afterwards.

    In bfloat16 the layers with the finest maps, whose rounding costs small faces their place, stay float32, as do the
    last ones of each head (`docs/profile.md`). Deformable convolutions, and grids of cells, are float32 always.
    """
    fold_batch_norms(network)
    # Depthwise convolutions are faster with the channels innermost.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if torch.backends.mkldnn.is_available() and isinstance(network.detector, Detector):
        plain = network.settings.sampling == "plain"
        _fuse_joint(network, _TYPES[precision] if plain else torch.float32)
    return network


def _fuse_joint(network: JointNetwork, dtype: torch.dtype) -> None:
    detector, head = network.detector, network.embedding
    assert isinstance(detector, Detector) and isinstance(head, EmbeddingHead)
    trunk = detector.trunk
    if isinstance(trunk, MobileNet):
        _fuse(trunk, torch.float32, ["stem"])
        _fuse(trunk.blocks, torch.float32, ["0"])
        last = trunk.blocks[0]
    else:
        _fuse(trunk, torch.float32, ["conv1", "layer1"])
        last = trunk.layer1
    assert isinstance(last, nn.Sequential)
    last.append(Rounding(dtype))  # once for all that read this map
    _fuse(detector, dtype)
    _fuse(head, dtype, ["fuse", "tail", "widen"])
    head.fuse[-1].to(dtype)
    _fuse(head, torch.float32, ["gather", "out"])


def _fuse(module: nn.Module, dtype: torch.dtype, names: Sequence[str] = ()) -> None:
    """Fuse the children of those names, or all: each with the activation registered after it."""
    children = module._modules
    for name, following in zip_longest(children, list(children)[1:]):
        child = children[name]
        if (names and name not in names) or child is None or isinstance(child, DeformableConv):
            continue
        if isinstance(child, DetectionHeads):
            children[name] = JoinedHeads(child)
        elif isinstance(child, SplitProjection):
            children[name] = FusedProjection(child, dtype)
        elif isinstance(child, InvertedResidual) and child.residual:
            children[name] = FusedResidual(child, dtype)
        elif isinstance(child, nn.Conv2d):
            children[name] = FusedConvolution(child, _NONE, dtype)
        elif isinstance(child, ConvNorm) and isinstance(child.conv, nn.Conv2d):
            clipped = following is not None and isinstance(children[following], nn.ReLU6)
            slope = child.leak.negative_slope if "leak" in child._modules else None
            if clipped:
                children[following] = nn.Identity()
            activation = ("hardtanh", 0.0, 6.0) if clipped else _NONE if slope is None else ("leaky_relu", slope)
            children[name] = FusedConvolution(child.conv, activation, dtype)
        else:
            _fuse(child, dtype)


def _side_by_side(convolutions: Sequence[nn.Module]) -> nn.Conv2d:
    """1x1 convolutions of the same input as one, their outputs one after the other."""
    known = [each for each in convolutions if isinstance(each, nn.Conv2d)]
    joined = nn.Conv2d(known[0].in_channels, sum(each.out_channels for each in known), 1)
    joined.weight = nn.Parameter(torch.cat([each.weight for each in known]))
    joined.bias = nn.Parameter(torch.cat([each.bias for each in known if each.bias is not None]))
    return joined
