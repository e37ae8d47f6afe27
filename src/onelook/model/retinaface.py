"""What every form of the detector starts with: a photo's pixels, normalized, through a trunk."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.anchors import LEVELS, AnchorLevel, AnchorOutputs, make_anchors
from onelook.geometry.boxes import refined_anchors
from onelook.model.layers import BackboneFeatures, ConvNorm, DepthwiseSeparable
from onelook.model.resnet import ResNet
from onelook.settings import ConvSampling, ModelSettings


class UpsampleAdd(nn.Module):
    """A map's cells, each as often as it takes, added to a finer map: (B, c, h, w), (B, c, H, W) -> (B, c, H, W)."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return fine + functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


class FPN(nn.Module):
    """Top-down pathway: each map, projected to `channels`, plus the enlarged one above it, smoothed by a 3x3.

    Maps from fine to coarse in, as many maps of `channels` channels out, same sizes. RetinaFace's full form has one
    more on top, half as large: a 3x3 of stride 2 on the coarsest map in; and its other 3x3 may be deformable (arXiv
    1905.00641, section 4.2).
    """

    def __init__(
        self, inputs: Sequence[int], channels: int, *, sampling: ConvSampling = "plain", one_more: bool = False
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(size, channels, kernel=1) for size in inputs)
        self.upsample_add = UpsampleAdd()
        self.smooth = nn.ModuleList(ConvNorm(channels, channels, sampling=sampling) for _ in inputs[:-1])
        self.top = ConvNorm(inputs[-1], channels, stride=2) if one_more else None

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for i in reversed(range(len(self.smooth))):
            levels[i] = self.smooth[i](self.upsample_add(levels[i + 1], levels[i]))
        return levels if self.top is None else [*levels, self.top(maps[-1])]


class ContextModule(nn.Module):
    """SSH's context module: 3x3, 5x5 and 7x7 receptive fields out of stacked 3x3. (B, c, H, W) -> (B, c, H, W).

    In RetinaFace's full form they are deformable (arXiv 1905.00641, section 4.2).
    """

    def __init__(self, channels: int, *, sampling: ConvSampling = "plain") -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.near = ConvNorm(channels, half, leak=0, sampling=sampling)
        self.step = ConvNorm(channels, quarter, sampling=sampling)
        self.middle = ConvNorm(quarter, quarter, leak=0, sampling=sampling)
        self.far_step = ConvNorm(quarter, quarter, sampling=sampling)
        self.far = ConvNorm(quarter, quarter, leak=0, sampling=sampling)

    def forward(self, x: Tensor) -> Tensor:
        step = self.step(x)
        return torch.cat([self.near(x), self.middle(step), self.far(self.far_step(step))], dim=1)


def context_modules(settings: ModelSettings, levels: int) -> nn.ModuleList:
    """A module for each level, or nothing in its place; the levels share nothing."""
    if settings.context == "none":
        return nn.ModuleList(nn.Identity() for _ in range(levels))
    return nn.ModuleList(ContextModule(settings.fpn_channels, sampling=settings.conv_sampling) for _ in range(levels))


# What is told of an anchor: background and face; place and size; five points.
HEAD_SIZES = (2, 4, 10)


class DetectionHeads(nn.Module):
    """One 1x1 convolution per level and output; the levels share nothing."""

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        counts = [len(level.sizes) for level in levels]
        logits, boxes, landmarks = HEAD_SIZES
        self.logits = nn.ModuleList(nn.Conv2d(channels, logits * count, 1) for count in counts)
        self.boxes = nn.ModuleList(nn.Conv2d(channels, boxes * count, 1) for count in counts)
        self.landmarks = nn.ModuleList(nn.Conv2d(channels, landmarks * count, 1) for count in counts)

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        heads = zip((self.logits, self.boxes, self.landmarks), HEAD_SIZES, strict=True)
        return AnchorOutputs(*(_per_anchor(convs, maps, size) for convs, size in heads))


def _per_anchor(convs: nn.ModuleList, maps: Sequence[Tensor], size: int) -> Tensor:
    # (B, anchors * size, H, W) -> (B, H, W, anchors * size) -> (B, H * W * anchors, size)
    outputs = [conv(x).permute(0, 2, 3, 1).flatten(1) for conv, x in zip(convs, maps, strict=True)]
    return torch.cat(outputs, dim=1).unflatten(1, (-1, size))


# Output channels at width 1 and stride of each depthwise separable block after the stem.
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
_ENDS = (1, 3, 5, 11, 13)


class MobileNet(nn.Module):
    """(B, 3, H, W) -> TrunkMaps. `channels` are those of its five maps."""

    def __init__(self, width: float) -> None:
        super().__init__()
        sizes = [max(1, round(outputs * width)) for outputs, _ in _BLOCKS]
        stem = max(1, round(32 * width))
        self.stem = ConvNorm(3, stem, stride=2)
        self.blocks = nn.ModuleList(
            DepthwiseSeparable(inputs, outputs, stride=stride)
            for inputs, outputs, (_, stride) in zip([stem, *sizes], sizes, _BLOCKS, strict=False)
        )
        self.channels = tuple(sizes[end - 1] for end in _ENDS)

    def forward(self, images: Tensor) -> BackboneFeatures:
        x, maps = images, []
        for stage in self.stages():
            for layer in stage:
                x = layer(x)
            maps.append(x)
        return BackboneFeatures(*maps)

    def stages(self) -> list[list[nn.Module]]:
        """The layers that lead from the photo to the first map, from there to the second, and so on."""
        layers = [self.stem, *self.blocks]
        # A stage ends with the block of that number; the stem is number 0.
        starts = [0, *(end + 1 for end in _ENDS)]
        return [layers[start : end + 1] for start, end in zip(starts, _ENDS, strict=False)]


# ImageNet means as Caffe's models have them, red green blue.
PIXEL_MEAN = (123.0, 117.0, 104.0)
# Those of the public PyTorch ImageNet weights, with what the difference is divided by.
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)


class ImageBackbone(nn.Module):
    """The trunk the settings name and the preprocessing it was trained with, part of the saved model."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.pixel_mean: Tensor
        self.pixel_deviation: Tensor | None
        light = settings.backbone == "mobilenet"
        self.backbone = MobileNet(settings.width_mult) if light else ResNet(settings.backbone)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN if light else _IMAGENET_MEAN))
        self.register_buffer("pixel_deviation", None if light else torch.tensor(_IMAGENET_DEVIATION))

    def normalized(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in 0..255, uint8 or float -> the same, float, as the trunk wants it."""
        if images.dtype == torch.uint8 and images.is_contiguous(memory_format=torch.channels_last):
            return self._normalized_rows(images)
        pixels = images - self.pixel_mean[:, None, None]
        return pixels if self.pixel_deviation is None else pixels / self.pixel_deviation[:, None, None]

    def _normalized_rows(self, images: Tensor) -> Tensor:
        """`normalized`, a row of pixels at a time: with the colors innermost that is ten times as fast."""
        width = images.shape[-1]
        pixels = images.permute(0, 2, 3, 1)
        rows = pixels.reshape(-1, width * 3).float()
        rows -= self.pixel_mean.repeat(width)
        if self.pixel_deviation is not None:
            rows /= self.pixel_deviation.repeat(width)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)

    def trunk_maps(self, pixels: Tensor) -> BackboneFeatures:
        """The trunk's five maps of normalized pixels."""
        maps: BackboneFeatures = self.backbone(pixels)
        return maps


class CascadeHead(nn.Module):
    """Context modules and heads of its own upon the shared pyramid, as the first stage has them.

    Maps of the levels in, fine to coarse; out come its offsets, which lead from the first stage's boxes, and the
    features they were read from.
    """

    def __init__(self, settings: ModelSettings, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.context = context_modules(settings, len(levels))
        self.heads = DetectionHeads(settings.fpn_channels, levels)

    def forward(self, levels: Sequence[Tensor]) -> tuple[AnchorOutputs, list[Tensor]]:
        features = [context(level) for context, level in zip(self.context, levels, strict=True)]
        return self.heads(features), features


# Strides of the trunk's maps, in pixels.
_TRUNK_STRIDES = (2, 4, 8, 16, 32)


# Strides of the maps a pass shares with the embedding head, in pixels.
MAP_STRIDES = (2, 4, 8, 16)


class NetworkOutput(NamedTuple):
    """One pass over images: what the heads say of every anchor, and the maps that faces are embedded from.

    `features` are the maps that the heads read, level by level. Of a cascade `anchors` and `features` are the second
    stage's, which count, and `first` is the first one's answer. A grid's maps are its cells' features, scale by scale,
    and last its anchors (`onelook.model.grid_detector`).
    """

    anchors: AnchorOutputs
    maps: list[Tensor]
    features: Sequence[Tensor] = ()
    first: AnchorOutputs | None = None

    def float_features(self) -> list[Tensor]:
        """`features` in float32, whatever the pass computed in."""
        return [each.float() for each in self.features]

    def starts(self, anchors: Tensor) -> Tensor:
        """What the offsets of `anchors` lead from, (B, n, 4; center x, center y, width, height) in pixels.

        The images' anchors (n, 4) themselves, or in a cascade the boxes that the first stage made of them.
        """
        if self.first is None:
            return anchors.expand(len(self.anchors.boxes), -1, -1)
        return refined_anchors(self.first.boxes, anchors)


class RetinaFace(ImageBackbone):
    """Backbone, pyramid, context and detection heads: all that the public detectors hold."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.levels = LEVELS[settings.pyramid_levels]
        # The trunk's maps finer than the pyramid go past it.
        self.finer = _TRUNK_STRIDES.index(self.levels[0].stride)
        one_more = self.levels[-1].stride > _TRUNK_STRIDES[-1]
        inputs, sampling = self.backbone.channels[self.finer :], settings.conv_sampling
        self.fpn = FPN(inputs, settings.fpn_channels, sampling=sampling, one_more=one_more)
        self.context = context_modules(settings, len(self.levels))
        self.heads = DetectionHeads(settings.fpn_channels, self.levels)
        self.cascade = CascadeHead(settings, self.levels) if settings.cascade else None

    def forward(self, images: Tensor) -> NetworkOutput:
        """(B, 3, H, W) RGB in 0..255, uint8 or float, of any size -> SharedPass with maps at strides 2, 4, 8, 16."""
        maps, levels = self._maps(images)
        features = [context(level) for context, level in zip(self.context, levels, strict=True)]
        outputs = self.heads(features)
        if self.cascade is None:
            return NetworkOutput(outputs, maps, features)
        refined, features = self.cascade(levels)
        return NetworkOutput(refined, maps, features, outputs)

    def anchors(self, height: int, width: int) -> Tensor:
        """What the offsets lead from for images of that size: (n, 4; center x, center y, width, height) in pixels."""
        return make_anchors(height, width, self.levels)

    def shared_maps(self, images: Tensor) -> list[Tensor]:
        """The maps of a pass over images alone, without the detection heads: for faces whose place is known."""
        return self._maps(images)[0]

    def _maps(self, images: Tensor) -> tuple[list[Tensor], Sequence[Tensor]]:
        maps = self.trunk_maps(self.normalized(images))
        levels = self.fpn(maps[self.finer :])
        return [*maps[: self.finer], *levels][: len(MAP_STRIDES)], levels
