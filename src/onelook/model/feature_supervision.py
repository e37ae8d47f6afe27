"""Feature supervision module: a classifier of regions of the feature maps, for training alone.

RefineFace (Zhang et al., arXiv 1909.04376) trains it beside the detection heads, so that the features of a face as a
whole tell it from background. It is no part of the network that is saved.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel
from onelook.geometry.boxes import box_sizes
from onelook.model.feature_sampler import sample_levels

_CONVS = 4
_SAMPLES = 7
"""Samples along each side of a region, as in RoIAlign (He et al., ICCV 2017)."""
# Largest number of cells along a side of a region in the level that it is read from; two a sample would alias.
_MAX_CELLS = 8


class FeatureSupervision(nn.Module):
    """Bilinear samples of each region, four 3x3 convolutions, global average pooling and a logit.

    The convolutions have no norm, because the padding of a batch must not count in its statistics.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel]) -> None:
        super().__init__()
        self.strides = tuple(level.stride for level in levels)
        layers = [layer for _ in range(_CONVS) for layer in (nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())]
        self.convs = nn.Sequential(*layers)
        self.logit = nn.Linear(channels, 1)

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Classify regions as face or background.

        Args:
            features: maps (B, c, H, W) of the levels, fine to coarse.
            boxes: (B, k, 4) x1 y1 x2 y2 in pixels.

        Returns:
            Logits (B, k) of a face.
        """
        flat = boxes.flatten(0, 1)
        steps = (torch.arange(_SAMPLES, device=boxes.device) + 0.5) / _SAMPLES
        x, y = (flat[:, None, i] + steps * (flat[:, None, i + 2] - flat[:, None, i]) for i in range(2))
        grids = torch.stack(
            [x[:, None, :].expand(-1, _SAMPLES, -1), y[:, :, None].expand(-1, -1, _SAMPLES)], -1
        )  # (B k, 7, 7, 2)
        images = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
        regions = sample_levels(features, self.strides, box_sizes(flat) / _MAX_CELLS, grids, images)
        pooled = self.convs(regions.permute(0, 3, 1, 2)).mean((2, 3))
        logits: Tensor = self.logit(pooled).view(boxes.shape[:2])
        return logits
