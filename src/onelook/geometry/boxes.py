"""Box arithmetic and the regression offsets between anchors and boxes.

Boxes are x1 y1 x2 y2, half-open, in pixels. Anchors are center x, center y, width, height. This module loads without
torch: the gallery uses it on NumPy arrays where only onnxruntime is installed.
"""

from math import log
from typing import TYPE_CHECKING

from onelook.geometry.array_namespace import Array, array_namespace

if TYPE_CHECKING:
    from torch import Tensor

# SSD's variances (Liu et al. 2016): center offsets are divided by the first, log sizes by the second.
CENTER_VARIANCE = 0.1
SIZE_VARIANCE = 0.2
# Largest change of the logarithm of a side, as in two-stage detectors (Detectron: 1000 / 16). An untrained first stage
# must not produce boxes of zero or infinite size.
_MAX_LOG_CHANGE = log(1000 / 16)


def encode_boxes(boxes: Array, anchors: Array) -> Array:
    """Encode boxes (..., 4) as regression offsets (..., 4) from anchors (..., 4).

    The parametrization of Fast R-CNN (Girshick 2015) with SSD's variances.
    """
    xp = array_namespace(boxes)
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    sizes = (boxes[..., 2:] - boxes[..., :2]).clip(1e-3)
    offsets: Array = xp.concatenate(
        [
            (centers - anchors[..., :2]) / (anchors[..., 2:] * CENTER_VARIANCE),
            xp.log(sizes / anchors[..., 2:]) / SIZE_VARIANCE,
        ],
        -1,
    )
    return offsets


def decode_boxes(offsets: Array, anchors: Array) -> Array:
    """Decode offsets (..., 4) from anchors (..., 4) to boxes (..., 4).

    The inverse of `encode_boxes`.
    """
    xp = array_namespace(offsets)
    centers = anchors[..., :2] + offsets[..., :2] * CENTER_VARIANCE * anchors[..., 2:]
    halves = anchors[..., 2:] * xp.exp(offsets[..., 2:] * SIZE_VARIANCE) / 2
    boxes: Array = xp.concatenate([centers - halves, centers + halves], -1)
    return boxes


def encode_landmarks(landmarks: Array, anchors: Array) -> Array:
    """Encode landmarks (..., 5, 2) as offsets (..., 10) from anchors (..., 4).

    NaN stays NaN.
    """
    offsets = (landmarks - anchors[..., None, :2]) / (anchors[..., None, 2:] * CENTER_VARIANCE)
    return offsets.reshape(*offsets.shape[:-2], 10)


def decode_landmarks(offsets: Array, anchors: Array) -> Array:
    """Decode offsets (..., 10) from anchors (..., 4) to landmarks (..., 5, 2).

    The inverse of `encode_landmarks`.
    """
    points = offsets.reshape(*offsets.shape[:-1], 5, 2) * CENTER_VARIANCE * anchors[..., None, 2:]
    return anchors[..., None, :2] + points


def pairwise_iou(a: Array, b: Array) -> Array:
    """Compute the intersection over union of all pairs of two box sets.

    Args:
        a: (..., n, 4) boxes.
        b: (..., m, 4) boxes.

    Returns:
        (..., n, m); 0 for empty boxes.
    """
    inner = pairwise_intersection(a, b)
    outer = box_areas(a)[..., :, None] + box_areas(b)[..., None, :] - inner
    return inner / outer.clip(1e-9)


def pairwise_overlap(a: Array, b: Array) -> Array:
    """Compute the intersection over the smaller area of all pairs, for boxes and result as in `pairwise_iou`."""
    areas = array_namespace(a).minimum(box_areas(a)[..., :, None], box_areas(b)[..., None, :])
    return pairwise_intersection(a, b) / areas.clip(1e-9)


def pairwise_intersection(a: Array, b: Array) -> Array:
    """Compute the intersection areas (..., n, m) of boxes (..., n, 4) and (..., m, 4)."""
    xp = array_namespace(a)
    a, b = a[..., :, None, :], b[..., None, :, :]
    width, height = (
        (xp.minimum(a[..., i + 2], b[..., i + 2]) - xp.maximum(a[..., i], b[..., i])).clip(0) for i in range(2)
    )
    return width * height


def box_areas(boxes: Array) -> Array:
    """Compute the areas (...,) of boxes (..., 4), in square pixels.

    The area of an inverted box (x2 < x1 or y2 < y1) is 0.
    """
    return (boxes[..., 2:] - boxes[..., :2]).clip(0).prod(-1)


def box_sizes(boxes: Array) -> Array:
    """Compute the face sizes sqrt(w h) (...,) of boxes (..., 4), in pixels.

    The size of an inverted box is 0. RetinaFace normalizes landmark errors by this size (Deng et al. 2019, section
    4.4).
    """
    sizes: Array = array_namespace(boxes).sqrt(box_areas(boxes))
    return sizes


def refine_anchors(offsets: "Tensor", anchors: "Tensor") -> "Tensor":
    """Move anchors by the first cascade stage's offsets.

    The result carries no gradient: the second stage does not train the first one. Changes of the size are limited to a
    factor of 62.5.

    Args:
        offsets: (B, n, 4) offsets of the first stage, as in `decode_boxes`.
        anchors: (n, 4).

    Returns:
        (B, n, 4) anchors of the second stage, in pixels.
    """
    xp = array_namespace(offsets)
    offsets = offsets.detach()
    sizes = anchors[:, 2:]
    changes = (offsets[..., 2:] * SIZE_VARIANCE).clamp(-_MAX_LOG_CHANGE, _MAX_LOG_CHANGE)
    centers = anchors[:, :2] + offsets[..., :2] * CENTER_VARIANCE * sizes
    refined: Tensor = xp.cat([centers, sizes * changes.exp()], dim=-1)
    return refined
