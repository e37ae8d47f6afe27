"""The detection heads: is it a face, where is its box, where are its five points; per anchor."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel, AnchorOutputs

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
