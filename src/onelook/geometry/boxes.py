"""Boxes as x1 y1 x2 y2, half-open, in pixels, and the offsets a network regresses to them from anchors."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from onelook.geometry.library import library_of

Array = TypeVar("Array", np.ndarray, Tensor)

# SSD's variances (Liu et al. 2016): offsets of centres are divided by the first, of log sizes by the second.
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


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
    xp = library_of(offsets)
    centres = anchors[..., :2] + offsets[..., :2] * CENTRE_VARIANCE * anchors[..., 2:]
    halves = anchors[..., 2:] * xp.exp(offsets[..., 2:] * SIZE_VARIANCE) / 2
    boxes: Array = xp.concatenate([centres - halves, centres + halves], -1)
    return boxes


def encode_landmarks(landmarks: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 10) that lead from anchors (n, 4) to landmarks (n, 5, 2); NaN stays NaN."""
    offsets = (landmarks - anchors[:, None, :2]) / (anchors[:, None, 2:] * CENTRE_VARIANCE)
    return offsets.flatten(1)


def decode_landmarks(offsets: Array, anchors: Array) -> Array:
    """Landmarks (n, 5, 2) that offsets (n, 10) lead to from anchors (n, 4); the inverse of `encode_landmarks`."""
    points = offsets.reshape(-1, 5, 2) * CENTRE_VARIANCE * anchors[:, None, 2:]
    return anchors[:, None, :2] + points
