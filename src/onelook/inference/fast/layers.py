"""Layers for looking alone, of convolutions that are fused with what follows them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorOutputs
from onelook.inference.fast.convolution import DirectConvolution, Fused, fuse_conv
from onelook.inference.fast.onednn import (
    NONE,
    Activation,
    Prepared,
    is_available,
    kept_by_size,
    prepare_enlarging,
    prepare_rounding,
)
from onelook.model.embedding_head import AvgPool, FactoredConv1x1
from onelook.model.layers import BackboneFeatures
from onelook.model.retinaface import HEAD_SIZES, DetectionHeads, UpsampleAdd


class FusedResidual(nn.Module):
    """An inverted residual, of a body whose convolutions are fused: the last one adds to what came in."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        assert isinstance(body[-1], Fused)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        last: Fused = self.body[-1]  # type: ignore[assignment]
        return last.add_to(x, self.body[:-1](x))


class Rounding(nn.Module):
    """From float32 to another floating-point type."""

    reads = torch.float32

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self._dtype)

    def prepared(self, size: tuple[int, ...], adds: bool) -> Prepared:
        """The call of oneDNN for maps of a size (B, c, H, W), their channels innermost."""
        assert not adds
        return prepare_rounding(size, self.reads, self._dtype)


class StagedTrunk(nn.Module):
    """A trunk of stages, each of which puts out one of its maps. (B, 3, H, W) -> TrunkMaps."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> BackboneFeatures:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return BackboneFeatures(*maps)


class JoinedHeads(nn.Module):
    """The detection heads, those of each level as one convolution; answers as `DetectionHeads`, in float32."""

    def __init__(self, heads: DetectionHeads) -> None:
        super().__init__()
        self.joined = [
            fuse_conv(_by_anchor(convolutions), NONE, torch.float32)
            for convolutions in zip(heads.logits, heads.boxes, heads.landmarks, strict=True)
        ]
        self._anchors = [each.out_channels // HEAD_SIZES[0] for each in heads.logits if isinstance(each, nn.Conv2d)]

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        levels = list(zip(self.joined, maps, strict=True))
        counts = [x.shape[2:].numel() * anchors for x, anchors in zip(maps, self._anchors, strict=True)]
        rows = torch.empty(len(maps[0]), sum(counts), sum(HEAD_SIZES))
        for (joined, x), place in zip(levels, rows.split(counts, 1), strict=True):
            if len(x) == 1 and isinstance(joined, DirectConvolution):
                joined.into(x, place)  # of a single photo, a level's rows lie side by side
            else:
                place.copy_(joined(x).permute(0, 2, 3, 1).reshape(place.shape))
        return AnchorOutputs(*rows.split(HEAD_SIZES, 2))


class FusedEnlarging(UpsampleAdd):
    """As `UpsampleAdd`, into the finer map itself."""

    def __init__(self) -> None:
        super().__init__()
        self._prepared = kept_by_size(prepare_enlarging)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        sides = zip(coarse.shape[-2:], fine.shape[-2:], strict=True)
        innermost = all(each.is_contiguous(memory_format=torch.channels_last) for each in (coarse, fine))
        # Where a side is odd, oneDNN and torch disagree about which cell is the nearest one.
        if not innermost or any(2 * small != large for small, large in sides) or not is_available():
            return super().forward(coarse, fine)
        self._prepared(coarse.shape, coarse.dtype)(coarse.data_ptr(), fine.data_ptr())
        return fine


class FusedShrinking(AvgPool):
    """As `AvgPool`, in the type the maps have."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[int, int, torch.dtype], Fused] = {}

    def whole(self, x: Tensor, times: int) -> Tensor:
        key = x.shape[1], times, x.dtype
        if key not in self._known:
            mean = nn.Conv2d(x.shape[1], x.shape[1], times, times, groups=x.shape[1], bias=False)
            mean.weight = nn.Parameter(torch.full_like(mean.weight, 1 / times**2))
            self._known[key] = fuse_conv(mean, NONE, x.dtype)
        return self._known[key](x)


class FusedProjection(nn.Module):
    """As `FactoredConv1x1`: each map's samples are projected onto the sum of those before them.

    Args:
        projection: whose weights it has.
        dtype: of weights and results.
        last: what the whole sum is put through.
    """

    def __init__(self, projection: FactoredConv1x1, dtype: torch.dtype, last: Activation) -> None:
        super().__init__()
        first, *others = projection.kernels()
        activations = [NONE] * len(others) + [last]
        self.finest = fuse_conv(_convolution(first, projection.bias), activations[0], dtype)
        self.others = [
            fuse_conv(_convolution(each), then, dtype) for each, then in zip(others, activations[1:], strict=True)
        ]

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        total = self.finest(parts[0])
        for project, part in zip(self.others, parts[1:], strict=True):
            total = project.add_to(total, part)
        return total


def _by_anchor(convolutions: Sequence[nn.Module]) -> nn.Conv2d:
    """The heads of a level as one 1x1 convolution that tells all of an anchor, then all of the next."""
    known = [each for each in convolutions if isinstance(each, nn.Conv2d)]
    counts = [each.out_channels for each in known]
    order = zip(torch.arange(sum(counts)).split(counts), HEAD_SIZES, strict=True)
    rows = torch.cat([places.view(-1, size) for places, size in order], 1).flatten()
    biases = [each.bias for each in known if each.bias is not None]
    return _convolution(torch.cat([each.weight for each in known])[rows], torch.cat(biases)[rows])


def _convolution(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """A 1x1 convolution with weights (out, in, 1, 1)."""
    made = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    made.weight = nn.Parameter(weight)
    made.bias = None if bias is None else nn.Parameter(bias)
    return made
