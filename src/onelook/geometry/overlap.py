"""How far boxes (x1 y1 x2 y2, half-open, in pixels) overlap."""

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onelook.geometry.library import library_of

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


def pairwise_iou(a: Array, b: Array) -> Array:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4), as (n, m); 0 for empty boxes."""
    inner = pairwise_intersection(a, b)
    outer = areas(a)[:, None] + areas(b)[None, :] - inner
    return inner / outer.clip(1e-9)


def pairwise_intersection(a: Array, b: Array) -> Array:
    """Area of the intersection of every box of `a` (n, 4) with every box of `b` (m, 4), as (n, m)."""
    xp = library_of(a)
    corner_1 = xp.maximum(a[:, None, :2], b[None, :, :2])
    corner_2 = xp.minimum(a[:, None, 2:], b[None, :, 2:])
    return (corner_2 - corner_1).clip(0).prod(-1)


def areas(boxes: Array) -> Array:
    """Areas (n,) of boxes (n, 4), in square pixels; 0 where a box is turned inside out."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)
