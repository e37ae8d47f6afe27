"""Coordinates of landmark cascades: points as fractions of the square of a face's box.

A face is a gray image (1, side, side) of `FACE_EXTENT` times that square. Points and windows are in units of the
square: (0, 0) is its top left corner and (1, 1) the other, so they do not depend on the size of the face.
"""

import torch
from torch import Tensor
from torch.nn import functional

FACE_EXTENT = 1.5
"""Side of a face image, as a multiple of the square of the box."""
FACE_SIDE = 144
"""Side of a face image, in pixels."""
# Samples of a pixel along either axis, as bilinear sampling alone would alias where patches are coarse.
_SUPERSAMPLING = 2


def to_grid(points: Tensor, extent: float = FACE_EXTENT) -> Tensor:
    """Map points (..., 2) of the square to the coordinates -1..1 of `grid_sample` in an image of `extent` squares."""
    return (points - 0.5) * (2 / extent)


def windows_around(points: Tensor, side: float) -> Tensor:
    """Return squares (..., 4; x1 y1 x2 y2) of `side` around points (..., 2)."""
    return torch.cat([points - side / 2, points + side / 2], -1)


def sample_patches(faces: Tensor, windows: Tensor, height: int, width: int) -> Tensor:
    """Sample windows of faces, each pixel as the mean of bilinear samples; zeros outside the image.

    Args:
        faces: (n, 1, side, side) float32.
        windows: (n, k, 4; x1 y1 x2 y2) in units of the square.
        height, width: of a patch, in pixels.

    Returns:
        (n, k, height, width).
    """
    rows, columns = (_centers(count * _SUPERSAMPLING, windows) for count in (height, width))
    first, sides = windows[..., :2], windows[..., 2:] - windows[..., :2]
    x = first[..., :1] + columns * sides[..., :1]
    y = first[..., 1:] + rows * sides[..., 1:]
    shape = (*windows.shape[:2], len(rows), len(columns))
    points = torch.stack([x[..., None, :].expand(shape), y[..., :, None].expand(shape)], -1)
    samples = functional.grid_sample(faces, to_grid(points).flatten(1, 2), align_corners=False)
    return functional.avg_pool2d(samples.view(shape), _SUPERSAMPLING)


def _centers(count: int, like: Tensor) -> Tensor:
    """Return the centers (count,) of equal parts of 0..1."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count
