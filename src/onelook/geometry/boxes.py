"""Boxes as x1 y1 x2 y2, half-open, in pixels: overlap, and the offsets a network regresses from anchors."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)

# SSD's variances (Liu et al. 2016): offsets of centres are divided by the first, of log sizes by the second.
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


def pairwise_iou(a: Array, b: Array) -> Array:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4), as (n, m); 0 for empty boxes."""
    inner = pairwise_intersection(a, b)
    outer = areas(a)[:, None] + areas(b)[None, :] - inner
    return inner / outer.clip(1e-9)


def pairwise_intersection(a: Array, b: Array) -> Array:
    """Area of the intersection of every box of `a` (n, 4) with every box of `b` (m, 4), as (n, m)."""
    xp = torch if isinstance(a, Tensor) else np
    corner_1 = xp.maximum(a[:, None, :2], b[None, :, :2])
    corner_2 = xp.minimum(a[:, None, 2:], b[None, :, 2:])
    return (corner_2 - corner_1).clip(0).prod(-1)


def areas(boxes: Array) -> Array:
    """Areas (n,) of boxes (n, 4), in square pixels; 0 where a box is turned inside out."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 4) that lead from anchors (n, 4; centre x, centre y, width, height) to boxes (n, 4; x1 y1 x2 y2).

    The parametrisation of Fast R-CNN (Girshick 2015) with SSD's variances.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sizes = (boxes[:, 2:] - boxes[:, :2]).clip(1e-3)
    return torch.cat(
        [
            (centres - anchors[:, :2]) / (anchors[:, 2:] * CENTRE_VARIANCE),
            torch.log(sizes / anchors[:, 2:]) / SIZE_VARIANCE,
        ],
        dim=1,
    )


def decode_boxes(offsets: Array, anchors: Array) -> Array:
    """Boxes (..., 4; x1 y1 x2 y2) that offsets (..., 4) lead to from anchors (..., 4): undoes `encode_boxes`."""
    xp = torch if isinstance(offsets, Tensor) else np
    centres = anchors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * anchors[..., 2:]
    halves = anchors[..., 2:] * xp.exp(offsets[..., 2:] * SIZE_VARIANCE) / 2
    return xp.concatenate([centres - halves, centres + halves], -1)


def encode_landmarks(landmarks: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 10) that lead from anchors (n, 4) to landmarks (n, 5, 2); NaN stays NaN."""
    offsets = (landmarks - anchors[:, None, :2]) / (anchors[:, None, 2:] * CENTRE_VARIANCE)
    return offsets.flatten(1)


def decode_landmarks(offsets: Array, anchors: Array) -> Array:
    """Landmarks (n, 5, 2) that offsets (n, 10) lead to from anchors (n, 4); the inverse of `encode_landmarks`."""
    points = offsets.reshape(-1, 5, 2) * CENTRE_VARIANCE * anchors[:, None, 2:]
    return anchors[:, None, :2] + points
