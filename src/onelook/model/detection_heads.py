"""Detection heads of RetinaFace, and the two-step heads of a cascade.

References:
    Cascade: RetinaFace (Deng et al., CVPR 2020); the second stage regresses from the boxes of the first.
    Selective cascade: RefineFace (Zhang et al., arXiv 1909.04376). Selective two-step regression (STR) refines the
    anchors of the coarse levels. Selective two-step classification (STC) drops easy background on the fine levels.
"""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel, AnchorOutputs, is_coarse_level
from onelook.model.context import build_context
from onelook.settings import ModelSettings

HEAD_CHANNELS = (2, 4, 10)
"""Outputs per anchor: logits of background and face, box offsets, landmark offsets."""
MIN_FIRST_SCORE = 0.01
"""Face probability in the first step below which an anchor of a fine level is dropped (RefineFace: 0.99 background)."""

Level = TypeVar("Level", AnchorLevel, Tensor)

# Difference of the logits of a dropped anchor: its face probability is below that of any score threshold.
_DROPPED_MARGIN = 100.0


class DetectionHeads(nn.Module):
    """A 1x1 convolution per level and output: maps (B, c, H_i, W_i) -> outputs of every anchor, level by level."""

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        anchors = [len(level.sizes) for level in levels]  # per cell
        logits, boxes, landmarks = HEAD_CHANNELS
        self.logits = nn.ModuleList(nn.Conv2d(channels, logits * count, 1) for count in anchors)
        self.boxes = nn.ModuleList(nn.Conv2d(channels, boxes * count, 1) for count in anchors)
        self.landmarks = nn.ModuleList(nn.Conv2d(channels, landmarks * count, 1) for count in anchors)

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        heads = zip((self.logits, self.boxes, self.landmarks), HEAD_CHANNELS, strict=True)
        return AnchorOutputs(*(_outputs_per_anchor(convs, maps, size) for convs, size in heads))


def _outputs_per_anchor(convs: nn.ModuleList, maps: Sequence[Tensor], size: int) -> Tensor:
    # (B, anchors * size, H, W) -> (B, H, W, anchors * size) -> (B, H * W * anchors * size)
    rows = [conv(x).permute(0, 2, 3, 1).flatten(1) for conv, x in zip(convs, maps, strict=True)]
    return torch.cat(rows, dim=1).unflatten(1, (-1, size))  # (B, n, size)


class CascadeHead(nn.Module):
    """Second stage of a cascade: context modules and heads of its own on the FPN levels.

    Levels -> offsets from the boxes of the first stage, and the features that its heads read.
    """

    def __init__(self, settings: ModelSettings, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.context = build_context(settings, len(levels))
        self.heads = DetectionHeads(settings.fpn_channels, levels)

    def forward(self, levels: Sequence[Tensor]) -> tuple[AnchorOutputs, list[Tensor]]:
        features = [context(level) for context, level in zip(self.context, levels, strict=True)]
        return self.heads(features), features


class FirstStepHeads(nn.Module):
    """First step of a selective cascade: logits on the fine levels (STC), box offsets on the coarse ones (STR).

    Maps (B, c, H_i, W_i) -> outputs of every anchor, level by level; those that the first step does not predict are 0.
    So the anchors of the fine levels stay where they are, and those of the coarse ones have probability 0.5.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.is_coarse = tuple(map(is_coarse_level, levels))
        logits, boxes, _ = HEAD_CHANNELS
        self.logits = nn.ModuleList(nn.Conv2d(channels, logits * len(each.sizes), 1) for each in self._fine(levels))
        self.boxes = nn.ModuleList(nn.Conv2d(channels, boxes * len(each.sizes), 1) for each in self._coarse(levels))

    def forward(self, maps: Sequence[Tensor]) -> AnchorOutputs:
        logits = _outputs_per_anchor(self.logits, self._fine(maps), HEAD_CHANNELS[0])
        boxes = _outputs_per_anchor(self.boxes, self._coarse(maps), HEAD_CHANNELS[1])
        # Not by zeros_like, whose shape the export to ONNX fixes.
        fine, coarse = (0 * outputs[..., :1].detach() for outputs in (logits, boxes))
        return AnchorOutputs(
            torch.cat([logits, coarse.repeat(1, 1, HEAD_CHANNELS[0])], 1),
            torch.cat([fine.repeat(1, 1, HEAD_CHANNELS[1]), boxes], 1),
            torch.cat([fine, coarse], 1).repeat(1, 1, HEAD_CHANNELS[2]),
        )

    def _fine(self, levels: Sequence[Level]) -> list[Level]:
        return [each for each, is_coarse in zip(levels, self.is_coarse, strict=True) if not is_coarse]

    def _coarse(self, levels: Sequence[Level]) -> list[Level]:
        return [each for each, is_coarse in zip(levels, self.is_coarse, strict=True) if is_coarse]


def dropped_anchors(first_logits: Tensor) -> Tensor:
    """Return the mask (B, n) of the anchors that the logits (B, n, 2) of the first step drop (STC)."""
    return first_logits.detach().softmax(-1)[..., 1] < MIN_FIRST_SCORE


def drop_anchors(outputs: AnchorOutputs, first_logits: Tensor) -> AnchorOutputs:
    """Lower the face logits of the anchors that the first step drops below every score threshold."""
    background, face = outputs.logits.unbind(-1)
    face = torch.where(dropped_anchors(first_logits), background.detach() - _DROPPED_MARGIN, face)
    return outputs._replace(logits=torch.stack([background, face], -1))
