"""Boxes as x1 y1 x2 y2, half-open, in pixels, and the offsets a network regresses to them from anchors."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from onelook.geometry.arrays import Array, array_namespace

if TYPE_CHECKING:
    pass
from math import log

# SSD's variances (Liu et al. 2016): offsets of centers are divided by the first, of log sizes by the second.
CENTER_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 4) that lead from anchors (n, 4; center x, center y, width, height) to boxes (n, 4; x1 y1 x2 y2).

    The parametrization of Fast R-CNN (Girshick 2015) with SSD's variances.
    """
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = (boxes[:, 2:] - boxes[:, :2]).clip(1e-3)
    return torch.cat(
        [
            (centers - anchors[:, :2]) / (anchors[:, 2:] * CENTER_VARIANCE),
            torch.log(sizes / anchors[:, 2:]) / SIZE_VARIANCE,
        ],
        dim=1,
    )


def decode_boxes(offsets: Array, anchors: Array) -> Array:
    """Boxes (..., 4; x1 y1 x2 y2) that offsets (..., 4) lead to from anchors (..., 4): undoes `encode_boxes`."""
    xp = array_namespace(offsets)
    centers = anchors[..., :2] + offsets[..., :2] * CENTER_VARIANCE * anchors[..., 2:]
    halves = anchors[..., 2:] * xp.exp(offsets[..., 2:] * SIZE_VARIANCE) / 2
    boxes: Array = xp.concatenate([centers - halves, centers + halves], -1)
    return boxes


def encode_landmarks(landmarks: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 10) that lead from anchors (n, 4) to landmarks (n, 5, 2); NaN stays NaN."""
    offsets = (landmarks - anchors[:, None, :2]) / (anchors[:, None, 2:] * CENTER_VARIANCE)
    return offsets.flatten(1)


def decode_landmarks(offsets: Array, anchors: Array) -> Array:
    """Landmarks (n, 5, 2) that offsets (n, 10) lead to from anchors (n, 4); the inverse of `encode_landmarks`."""
    points = offsets.reshape(-1, 5, 2) * CENTER_VARIANCE * anchors[:, None, 2:]
    return anchors[:, None, :2] + points


def pairwise_iou(a: Array, b: Array) -> Array:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4), as (n, m); 0 for empty boxes."""
    inner = pairwise_intersection(a, b)
    outer = box_areas(a)[:, None] + box_areas(b)[None, :] - inner
    return inner / outer.clip(1e-9)


def pairwise_intersection(a: Array, b: Array) -> Array:
    """Area of the intersection of every box of `a` (n, 4) with every box of `b` (m, 4), as (n, m)."""
    xp = array_namespace(a)
    corner_1 = xp.maximum(a[:, None, :2], b[None, :, :2])
    corner_2 = xp.minimum(a[:, None, 2:], b[None, :, 2:])
    return (corner_2 - corner_1).clip(0).prod(-1)


def box_areas(boxes: Array) -> Array:
    """Areas (n,) of boxes (n, 4), in square pixels; 0 where a box is turned inside out."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)


# An untrained first stage must not send the second one to boxes of no size or of infinite size: largest change of the
# logarithm of a side, as detectors with two stages have it (1000 / 16, Detectron).
_LARGEST_CHANGE = log(1000 / 16)


def refined_anchors(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Where offsets (B, n, 4) lead from anchors (n, 4): again anchors (B, n, 4; center x, center y, width, height).

    In pixels, as `onelook.geometry.boxes.decode_boxes` has it, without gradient: what starts from them does not teach
    the stage before it.
    """
    offsets = offsets.detach()
    sizes = anchors[:, 2:]
    changes = (offsets[..., 2:] * SIZE_VARIANCE).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
    centers = anchors[:, :2] + offsets[..., :2] * CENTER_VARIANCE * sizes
    return torch.cat([centers, sizes * changes.exp()], dim=-1)
