"""Inference-only replacements of the network's layers, built of fused convolutions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorOutputs
from onelook.inference.fast.convolution import FusedConv, OneDnnConv, fuse_conv
from onelook.inference.fast.onednn import (
    NO_ACTIVATION,
    Activation,
    PreparedPrimitive,
    cache_by_shape,
    is_available,
    prepare_cast,
    prepare_upsample_add,
)
from onelook.model.detection_heads import HEAD_CHANNELS, DetectionHeads
from onelook.model.embedding_head import FactoredConv1x1
from onelook.model.feature_sampler import AvgPool
from onelook.model.retinaface import PixelNormalization, UpsampleAdd


class FusedResidual(nn.Module):
    """Inverted residual block whose last convolution accumulates into the block's input, in place."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        assert isinstance(body[-1], FusedConv)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        last: FusedConv = self.body[-1]  # type: ignore[assignment]
        return last.add_to(x, self.body[:-1](x))


class CastDtype(nn.Module):
    """Conversion from float32 to another floating-point data type."""

    input_dtype = torch.float32

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self._dtype)

    def primitive(self, shape: tuple[int, ...], accumulate: bool) -> PreparedPrimitive:
        """Create the oneDNN primitive for channels-last maps of a shape (B, c, H, W)."""
        assert not accumulate
        return prepare_cast(shape, self.input_dtype, self._dtype)


class FastPixelNormalization(nn.Module):
    """`PixelNormalization` of a row of interleaved colors at a time, for channels-last uint8 images.

    With the colors of a pixel side by side, subtraction per color is vectorized over rows (`docs/profile.md`).
    """

    def __init__(self, normalization: PixelNormalization) -> None:
        super().__init__()
        self._normalization = normalization

    @property
    def mean(self) -> Tensor:
        """Return the mean per color channel, (3,)."""
        return self._normalization.mean

    def forward(self, images: Tensor) -> Tensor:
        if images.dtype != torch.uint8 or not images.is_contiguous(memory_format=torch.channels_last):
            normalized: Tensor = self._normalization(images)
            return normalized
        width = images.shape[-1]
        pixels = images.permute(0, 2, 3, 1)  # (B, H, W, 3)
        rows = pixels.reshape(-1, width * 3).float()
        rows -= self._normalization.mean.repeat(width)
        if self._normalization.std is not None:
            rows /= self._normalization.std.repeat(width)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)


class StagedBackbone(nn.Module):
    """Backbone of consecutive stages, each of which outputs one feature map: (B, 3, H, W) -> five maps."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class FusedDetectionHeads(nn.Module):
    """`DetectionHeads` with one 1x1 convolution per level for logits, boxes and landmarks; outputs are float32."""

    def __init__(self, heads: DetectionHeads) -> None:
        super().__init__()
        self.convs = [
            fuse_conv(_join_heads(convs), NO_ACTIVATION, torch.float32)
            for convs in zip(heads.logits, heads.boxes, heads.landmarks, strict=True)
        ]
        self._anchors = [each.out_channels // HEAD_CHANNELS[0] for each in heads.logits if isinstance(each, nn.Conv2d)]

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        counts = [x.shape[2:].numel() * anchors for x, anchors in zip(maps, self._anchors, strict=True)]
        outputs = torch.empty(len(maps[0]), sum(counts), sum(HEAD_CHANNELS))
        for conv, x, level in zip(self.convs, maps, outputs.split(counts, 1), strict=True):
            if len(x) == 1 and isinstance(conv, OneDnnConv):
                conv.write_to(level, x)  # the rows of a level are contiguous in a batch of one image
            else:
                level.copy_(conv(x).permute(0, 2, 3, 1).reshape(level.shape))
        return AnchorOutputs(*outputs.split(HEAD_CHANNELS, 2))


class FusedUpsampleAdd(UpsampleAdd):
    """`UpsampleAdd` that writes into the finer map, by one oneDNN primitive where the shapes allow."""

    def __init__(self) -> None:
        super().__init__()
        self._use_onednn = is_available()
        self._primitive = cache_by_shape(prepare_upsample_add)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        sides = zip(coarse.shape[-2:], fine.shape[-2:], strict=True)
        channels_last = all(each.is_contiguous(memory_format=torch.channels_last) for each in (coarse, fine))
        # For odd sides, oneDNN and torch select different nearest cells.
        if not self._use_onednn or not channels_last or any(2 * small != large for small, large in sides):
            return super().forward(coarse, fine)
        self._primitive(coarse.shape, coarse.dtype)(coarse.data_ptr(), fine.data_ptr())
        return fine


class FusedAvgPool(AvgPool):
    """`AvgPool` by fused depthwise convolutions, in the data type of the maps."""

    def __init__(self) -> None:
        super().__init__()
        self._use_onednn = is_available()
        self._convs: dict[tuple[int, int, torch.dtype], FusedConv] = {}

    def pool_divisible(self, x: Tensor, factor: int) -> Tensor:
        key = x.shape[1], factor, x.dtype
        if key not in self._convs:
            mean = nn.Conv2d(x.shape[1], x.shape[1], factor, factor, groups=x.shape[1], bias=False)
            mean.weight = nn.Parameter(torch.full_like(mean.weight, 1 / factor**2))
            self._convs[key] = fuse_conv(mean, NO_ACTIVATION, x.dtype, use_onednn=self._use_onednn)
        return self._convs[key](x)


class FusedFactoredConv1x1(nn.Module):
    """`FactoredConv1x1` that accumulates the projections of all maps into the first, in place.

    Args:
        projection: source of the weights.
        dtype: of weights and output.
        activation: applied to the sum.
    """

    def __init__(self, projection: FactoredConv1x1, dtype: torch.dtype, activation: Activation) -> None:
        super().__init__()
        first, *others = projection.kernels()
        activations = [NO_ACTIVATION] * len(others) + [activation]
        self.finest = fuse_conv(_conv1x1(first, projection.bias), activations[0], dtype)
        self.others = [
            fuse_conv(_conv1x1(kernel), each, dtype) for kernel, each in zip(others, activations[1:], strict=True)
        ]

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        total = self.finest(parts[0])
        for conv, part in zip(self.others, parts[1:], strict=True):
            total = conv.add_to(total, part)
        return total


def _join_heads(convs: Sequence[nn.Module]) -> nn.Conv2d:
    """Join the heads of a level to one 1x1 convolution, with the outputs of each anchor side by side."""
    heads = [each for each in convs if isinstance(each, nn.Conv2d)]
    counts = [each.out_channels for each in heads]
    channels = zip(torch.arange(sum(counts)).split(counts), HEAD_CHANNELS, strict=True)
    order = torch.cat([of_head.view(-1, size) for of_head, size in channels], 1).flatten()
    biases = [each.bias for each in heads if each.bias is not None]
    return _conv1x1(torch.cat([each.weight for each in heads])[order], torch.cat(biases)[order])


def _conv1x1(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Build a 1x1 convolution with given weights (out, in, 1, 1)."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    conv.weight = nn.Parameter(weight)
    conv.bias = None if bias is None else nn.Parameter(bias)
    return conv
