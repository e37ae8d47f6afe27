"""RetinaFace: single-shot detection of faces and their five landmarks (Deng et al., arXiv 1905.00641; CVPR 2020).

    images ─ normalize ─▶ backbone ─ c1..c5 ─▶ FPN ─ levels ─▶ context ─▶ heads ─▶ logits, boxes, landmarks
                              │                   │                       (twice in a cascade)
                              └─── feature maps ──┴──▶ the embedding head (`onelook.model.embedding_head`)

References:
    Backbone: MobileNetV1 (Howard et al., arXiv 1704.04861, table 1) at width 0.25, or a ResNet (`model.resnet`).
    FPN: Lin et al., CVPR 2017, section 3.
    Context modules: `model.context`. Heads and cascades: `model.detection_heads`.

Differences from the paper:
    - Light form (default): the layers of the public MobileNet-0.25 implementations, with levels at strides 8, 16 and
      32 and two anchors a cell. Full form: the paper's levels P2 to P6 with three anchors a cell.
    - The photo, the stem and the levels are also returned as feature maps, from which faces are embedded.
    - The mesh and the dense branch are separate heads (`onelook.model.mesh_head`, `onelook.model.dense_head`).

Examples:
    >>> detector = RetinaFace(ModelSettings(init="random")).eval()
    >>> output = detector(torch.zeros(1, 3, 480, 640, dtype=torch.uint8))
    >>> output.anchor_outputs.boxes.shape  # two anchors in each of 60 x 80 + 30 x 40 + 15 x 20 cells
    torch.Size([1, 12600, 4])
    >>> [tuple(x.shape) for x in output.feature_maps]
    [(1, 3, 480, 640), (1, 16, 240, 320), (1, 32, 120, 160), (1, 64, 60, 80), (1, 64, 30, 40)]
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.anchors import ANCHOR_LEVELS, AnchorOutputs, make_anchors
from onelook.geometry.boxes import refine_anchors
from onelook.model.context import build_context
from onelook.model.conv_norm import ConvNorm
from onelook.model.detection_heads import CascadeHead, DetectionHeads, FirstStepHeads, drop_anchors
from onelook.model.resnet import ResNet
from onelook.settings import ConvSampling, ModelSettings

FEATURE_STRIDES = (1, 2, 4, 8, 16)
"""Strides of the feature maps that the embedding head reads, in pixels; the first map is the normalized photo."""
PIXEL_CHANNELS = 3
"""Channels of the photo as a feature map."""
PIXEL_MEAN = (123.0, 117.0, 104.0)
"""ImageNet mean of Caffe's models, RGB in 0..255; the MobileNet is trained with it."""

_BACKBONE_STRIDES = (2, 4, 8, 16, 32)
# Normalization of the public PyTorch ImageNet weights, RGB in 0..255.
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Output channels at width 1, and stride, of MobileNet's depthwise separable blocks.
_MOBILENET_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
# Layers after which a map is returned; layer 0 is the stem, the others are the blocks.
_MOBILENET_OUTPUTS = (1, 3, 5, 11, 13)


class NetworkOutput(NamedTuple):
    """Outputs of a forward pass.

    Attributes:
        anchor_outputs: of the detection heads, for every anchor; of the second stage in a cascade.
        feature_maps: the maps that faces are embedded from, at `FEATURE_STRIDES`. Of a grid detector: the features of
            its cells, scale by scale, and the anchors.
        head_features: the maps (B, c, H, W) that the detection heads read, level by level.
        first_stage: outputs of the first stage in a cascade, else None. In a selective cascade those that it does not
            predict are 0, and the logits in `anchor_outputs` of the anchors that it drops are background.
    """

    anchor_outputs: AnchorOutputs
    feature_maps: list[Tensor]
    head_features: Sequence[Tensor] = ()
    first_stage: AnchorOutputs | None = None

    def float_head_features(self) -> list[Tensor]:
        """Convert the head features to float32."""
        return [features.float() for features in self.head_features]

    def reference_boxes(self, anchors: Tensor) -> Tensor:
        """Return the boxes that the offsets in `anchor_outputs` are relative to.

        They are the anchors, or in a cascade the boxes predicted by the first stage.

        Args:
            anchors: (n, 4) center x, center y, width, height in pixels.

        Returns:
            (B, n, 4) in the same format.
        """
        if self.first_stage is None:
            return anchors.expand(len(self.anchor_outputs.boxes), -1, -1)
        return refine_anchors(self.first_stage.boxes, anchors)


class RetinaFace(nn.Module):
    """Backbone, FPN, context modules and detection heads."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.levels = ANCHOR_LEVELS[settings.pyramid_levels]
        self.normalize = PixelNormalization(settings)
        self.backbone = build_backbone(settings)
        # The FPN starts at the backbone map of its finest level; finer maps are feature maps as they are.
        self.fpn_start = _BACKBONE_STRIDES.index(self.levels[0].stride)
        self.fpn = FPN(
            self.backbone.channels[self.fpn_start :],
            settings.fpn_channels,
            sampling=settings.conv_sampling,
            extra_level=self.levels[-1].stride > _BACKBONE_STRIDES[-1],
        )
        self.context = build_context(settings, len(self.levels))
        self.is_selective = settings.cascade == "selective"
        self.heads: DetectionHeads | FirstStepHeads
        self.heads = (FirstStepHeads if self.is_selective else DetectionHeads)(settings.fpn_channels, self.levels)
        self.cascade = CascadeHead(settings, self.levels) if settings.cascade != "none" else None

    def forward(self, images: Tensor) -> NetworkOutput:
        """Detect faces in images (B, 3, H, W), RGB in 0..255, uint8 or float, of any size."""
        feature_maps, levels = self._extract(images)
        head_features = [context(level) for context, level in zip(self.context, levels, strict=True)]
        outputs = self.heads(head_features)
        if self.cascade is None:
            return NetworkOutput(outputs, feature_maps, head_features)
        refined, head_features = self.cascade(levels)
        if self.is_selective:
            refined = drop_anchors(refined, outputs.logits)
        return NetworkOutput(refined, feature_maps, head_features, first_stage=outputs)

    def make_anchors(self, height: int, width: int) -> Tensor:
        """Generate the anchors (n, 4; center x, center y, width, height) of images of that size, in pixels.

        They are on the network's device.
        """
        return make_anchors(height, width, self.levels, self.normalize.mean.device)

    def extract_feature_maps(self, images: Tensor) -> list[Tensor]:
        """Compute only the feature maps of images (B, 3, H, W), without the detection heads."""
        return self._extract(images)[0]

    def _extract(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Compute the feature maps and the FPN levels."""
        pixels = self.normalize(images)
        maps = self.backbone(pixels)  # c1..c5
        levels = self.fpn(maps[self.fpn_start :])
        return [pixels, *maps[: self.fpn_start], *levels][: len(FEATURE_STRIDES)], levels


class PixelNormalization(nn.Module):
    """Subtraction of the mean and, for ImageNet weights, division by the standard deviation, per color channel."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor | None
        imagenet = settings.backbone != "mobilenet"
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN if imagenet else PIXEL_MEAN))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD) if imagenet else None)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images - self.mean[:, None, None]  # (B, 3, H, W), float
        return pixels if self.std is None else pixels / self.std[:, None, None]


class DepthwiseSeparable(nn.Sequential):
    """MobileNetV1 block, depthwise 3x3 and pointwise: (B, in, H, W) -> (B, out, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, stride=stride, groups=inputs),
            ConvNorm(inputs, outputs, kernel=1),
        )


class MobileNetV1(nn.Module):
    """MobileNetV1 backbone: (B, 3, H, W) -> five maps (B, c, H / s, W / s) at strides s of 2, 4, 8, 16 and 32.

    Attributes:
        channels: of the five maps.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        stem, *channels = (max(1, round(outputs * width)) for outputs in (32, *(c for c, _ in _MOBILENET_BLOCKS)))
        self.stem = ConvNorm(3, stem, stride=2)
        self.blocks = nn.ModuleList(
            DepthwiseSeparable(inputs, outputs, stride=stride)
            for inputs, outputs, (_, stride) in zip([stem, *channels], channels, _MOBILENET_BLOCKS, strict=False)
        )
        self.channels = tuple(channels[layer - 1] for layer in _MOBILENET_OUTPUTS)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = images, []
        for stage in self.stages():
            for layer in stage:
                x = layer(x)
            maps.append(x)
        return maps

    def stages(self) -> list[list[nn.Module]]:
        """Return the layers of each stage; the output of a stage is one of the five maps."""
        layers = [self.stem, *self.blocks]
        starts = [0, *(layer + 1 for layer in _MOBILENET_OUTPUTS)]
        return [layers[start : end + 1] for start, end in zip(starts, _MOBILENET_OUTPUTS, strict=False)]


def build_backbone(settings: ModelSettings) -> MobileNetV1 | ResNet:
    """Build the backbone of the settings with random weights."""
    return MobileNetV1(settings.width_mult) if settings.backbone == "mobilenet" else ResNet(settings.backbone)


class FPN(nn.Module):
    """Feature pyramid network: lateral 1x1 convolutions, top-down additions, 3x3 smoothing.

    Maps (B, inputs[i], H_i, W_i), fine to coarse -> levels (B, channels, H_i, W_i).

    Args:
        inputs: channels of the maps.
        channels: of the levels.
        sampling: of the smoothing convolutions.
        extra_level: append a level of half the size, by a 3x3 of stride 2 on the coarsest map (P6 of RetinaFace).
    """

    def __init__(
        self, inputs: Sequence[int], channels: int, *, sampling: ConvSampling = "plain", extra_level: bool = False
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(size, channels, kernel=1) for size in inputs)
        self.upsample_add = UpsampleAdd()
        self.smooth = nn.ModuleList(ConvNorm(channels, channels, sampling=sampling) for _ in inputs[:-1])
        self.extra = ConvNorm(inputs[-1], channels, stride=2) if extra_level else None

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for i in reversed(range(len(self.smooth))):
            levels[i] = self.smooth[i](self.upsample_add(levels[i + 1], levels[i]))
        return levels if self.extra is None else [*levels, self.extra(maps[-1])]


class UpsampleAdd(nn.Module):
    """Nearest upsampling of a coarse map, added to a finer one: (B, c, h, w), (B, c, H, W) -> (B, c, H, W)."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return fine + functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
