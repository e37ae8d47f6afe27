"""Anchors of an FPN detector: a grid of square boxes on each pyramid level."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from onelook.device import to_device


@dataclass(frozen=True)
class AnchorLevel:
    """Anchor parameters of a pyramid level: stride and sides, in pixels."""

    stride: int
    sizes: tuple[float, ...]


class AnchorOutputs(NamedTuple):
    """Detection head outputs per anchor, in the order of `make_anchors`.

    Attributes:
        logits: (B, n, 2), background and face.
        boxes: (B, n, 4) offsets.
        landmarks: (B, n, 10) offsets.
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
ANCHOR_LEVELS = {"light": LIGHT_LEVELS, "full": FULL_LEVELS}


# Strides from which anchors are refined in two steps (RefineFace: P5 to P7), and below which background is dropped.
_COARSE_STRIDE = 32


def is_coarse_level(level: AnchorLevel) -> bool:
    """Return True for a level of the large faces, False for one of the small faces (RefineFace)."""
    return level.stride >= _COARSE_STRIDE


def is_coarse_anchor(anchors: Tensor, levels: Sequence[AnchorLevel]) -> Tensor:
    """Return the mask (n,) of the anchors (n, 4; center, size) that belong to coarse levels."""
    return anchors[:, 2] >= min(size for level in levels if is_coarse_level(level) for size in level.sizes)


def make_anchors(height: int, width: int, levels: Sequence[AnchorLevel], device: torch.device | None = None) -> Tensor:
    """Generate the anchors of an image of `height` x `width` pixels, by default on the CPU.

    The order is that of the detection heads' outputs: by level, row, column, then size. A level's map has
    ceil(side / stride) cells, as stride-2 convolutions with padding 1 produce. Anchors are centered in their cells.

    Returns:
        (n, 4) float32: center x, center y, width, height in pixels.
    """
    return _cached_anchors(height, width, tuple(levels), device or torch.device("cpu"))


@lru_cache(maxsize=64)
def _cached_anchors(height: int, width: int, levels: tuple[AnchorLevel, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # else autograd refuses anchors that inference has cached
        return to_device(torch.cat([_level_anchors(height, width, level) for level in levels]), device)


def _level_anchors(height: int, width: int, level: AnchorLevel) -> Tensor:
    rows = (torch.arange(ceil(height / level.stride), dtype=torch.float32) + 0.5) * level.stride
    columns = (torch.arange(ceil(width / level.stride), dtype=torch.float32) + 0.5) * level.stride
    sizes = torch.tensor(level.sizes, dtype=torch.float32)
    y, x, side = torch.meshgrid(rows, columns, sizes, indexing="ij")
    return torch.stack([x, y, side, side], dim=-1).reshape(-1, 4)


def anchors_to_boxes(anchors: Tensor) -> Tensor:
    """Convert anchors (..., 4; center, size) to boxes (..., 4; x1 y1 x2 y2)."""
    halves = anchors[..., 2:] / 2
    return torch.cat([anchors[..., :2] - halves, anchors[..., :2] + halves], dim=-1)
