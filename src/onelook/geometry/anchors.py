"""Anchors: the boxes a detector starts from, a grid of squares on each pyramid level."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class AnchorLevel:
    """One pyramid level: its stride and the sides of its square anchors, in pixels."""

    stride: int
    sizes: tuple[float, ...]


class AnchorOutputs(NamedTuple):
    """What a detector says of every anchor, in the order of `make_anchors`.

    logits: (B, n, 2), background and face. boxes: (B, n, 4) offsets. landmarks: (B, n, 10) offsets.
    """

    logits: Tensor
    boxes: Tensor
    landmarks: Tensor


# RetinaFace's light network (the public MobileNet-0.25 implementations).
LIGHT_LEVELS = (AnchorLevel(8, (16, 32)), AnchorLevel(16, (64, 128)), AnchorLevel(32, (256, 512)))
# RetinaFace's full network, P2 to P6: sides from 16 to 406 pixels in steps of 2^(1/3) (arXiv 1905.00641, table 2).
FULL_LEVELS = tuple(
    AnchorLevel(stride, tuple(4 * stride * 2 ** (step / 3) for step in range(3))) for stride in (4, 8, 16, 32, 64)
)
LEVELS = {"light": LIGHT_LEVELS, "full": FULL_LEVELS}


def make_anchors(height: int, width: int, levels: Sequence[AnchorLevel]) -> Tensor:
    """Anchors (n, 4; center x, center y, width, height; float32, pixels) of an image of `height` x `width` pixels.

    Level by level, row by row, column by column, size by size: the order of the detection heads' outputs. A level's map
    has ceil(side / stride) cells, as stride-2 convolutions with padding 1 leave; centers lie mid-cell.
    """
    return _anchors(height, width, tuple(levels))


@lru_cache(maxsize=64)
def _anchors(height: int, width: int, levels: tuple[AnchorLevel, ...]) -> Tensor:
    return torch.cat([_level_anchors(height, width, level) for level in levels])


def _level_anchors(height: int, width: int, level: AnchorLevel) -> Tensor:
    rows = (torch.arange(ceil(height / level.stride), dtype=torch.float32) + 0.5) * level.stride
    columns = (torch.arange(ceil(width / level.stride), dtype=torch.float32) + 0.5) * level.stride
    sizes = torch.tensor(level.sizes, dtype=torch.float32)
    y, x, side = torch.meshgrid(rows, columns, sizes, indexing="ij")
    return torch.stack([x, y, side, side], dim=-1).reshape(-1, 4)


def anchors_to_boxes(anchors: Tensor) -> Tensor:
    """Anchors (..., 4; center, size) as boxes (..., 4; x1 y1 x2 y2)."""
    halves = anchors[..., 2:] / 2
    return torch.cat([anchors[..., :2] - halves, anchors[..., :2] + halves], dim=-1)
