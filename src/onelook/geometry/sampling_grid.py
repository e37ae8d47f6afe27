"""Sampling grids of a face's region of interest, from five landmarks.

- `warp_grid`: the square of the aligned crop, rotated with the face.
- `roi_grid`: an axis-aligned square.
- `center_grid`: one point.

Points are continuous coordinates: pixel k covers [k, k + 1), its center is k + 0.5. The functions take tensors (the
network trains through them) and NumPy arrays.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from onelook.device import to_device
from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS, apply_transform, similarity_transform
from onelook.geometry.array_namespace import Array, array_namespace

if TYPE_CHECKING:
    import torch


def warp_grid(landmarks: Array, samples: int, extent: float = 1.0, tile_size: int = 1) -> Array:
    """Compute the sampling grid of aligned faces, rotated with each face.

    Args:
        landmarks: (n, 5, 2) in pixels of the image.
        samples: samples along each side of the aligned square.
        extent: side of that square, as a multiple of ArcFace's aligned crop; both have the same center.
        tile_size: samples along each side of a tile; it divides `samples`.

    Returns:
        (n, samples / tile_size, samples * tile_size, 2) x and y in pixels of the image. Tiles follow each other row by
        row of the aligned square, and each tile's samples row by row.
    """
    exact = "float64" if "64" in str(landmarks.dtype) else "float32"
    matrix = _constant_like(landmarks, _grid_matrix, samples, extent, tile_size, exact)
    points = (landmarks.reshape(-1, 10) @ matrix).reshape(-1, 2, samples // tile_size, samples * tile_size)
    return points.swapaxes(1, 2).swapaxes(2, 3)


def roi_grid(landmarks: Array, samples: int, extent: float = 1.0, tile_size: int = 1) -> Array:
    """Compute the sampling grid of axis-aligned regions of interest.

    - The square is centered at the mean of the five landmarks.
    - Its side is proportional to the longer side of their bounding box.
    - It equals `warp_grid` for landmarks that are `REFERENCE_LANDMARKS`, translated and scaled.

    Args and the shape of the result are those of `warp_grid`.
    """
    scale = _longer_side(landmarks) / float(_longer_side(REFERENCE_LANDMARKS))
    square = _constant_like(landmarks, _centered_crop_samples, samples, extent, tile_size)
    points = square[None] * scale[:, None, None] + landmarks.mean(1)[:, None]
    return points.reshape(-1, samples // tile_size, samples * tile_size, 2)


def center_grid(landmarks: Array, samples: int, extent: float = 1.0, tile_size: int = 1) -> Array:
    """Repeat the mean of the five landmarks over the whole grid.

    Args and the shape of the result are those of `warp_grid`; `extent` has no effect.
    """
    middle = landmarks.mean(1)[:, None, None]
    shape = len(landmarks), samples // tile_size, samples * tile_size, 2
    return array_namespace(landmarks).broadcast_to(middle, shape)


@lru_cache(maxsize=16)
def _grid_matrix(samples: int, extent: float, tile_size: int, dtype: str) -> np.ndarray:
    """Compute the matrix (10, 2 * samples * samples) from landmarks to the grid.

    A least-squares similarity from fixed source points is linear in its target points, so one matrix product replaces
    fitting and applying the transform.
    """
    transforms = similarity_transform(REFERENCE_LANDMARKS.astype(np.float64)[None], np.eye(10).reshape(10, 5, 2))
    points = apply_transform(transforms, _crop_samples(samples, extent, tile_size)[None])
    return np.ascontiguousarray(points.swapaxes(1, 2).reshape(10, -1), dtype)


def _crop_samples(samples: int, extent: float, tile_size: int) -> np.ndarray:
    """Compute the samples (samples * samples, 2) in pixels of the aligned crop.

    float64, in the order of `warp_grid`.
    """
    steps = CROP_SIZE * (((np.arange(samples) + 0.5) / samples - 0.5) * extent + 0.5)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    # (tile row, row in the tile, tile column, column in the tile, 2)
    points = np.stack([x, y], -1).reshape(samples // tile_size, tile_size, samples // tile_size, tile_size, 2)
    return points.swapaxes(1, 2).reshape(-1, 2)


def _longer_side(points: Array) -> Array:
    """Compute the longer side of the bounding box of points (..., k, 2)."""
    xp = array_namespace(points)
    return xp.amax(xp.amax(points, -2) - xp.amin(points, -2), -1)


def _centered_crop_samples(samples: int, extent: float, tile_size: int) -> np.ndarray:
    """Compute `_crop_samples` relative to the mean of the template's landmarks."""
    centered: np.ndarray = _crop_samples(samples, extent, tile_size) - REFERENCE_LANDMARKS.mean(0)
    return centered


def _constant_like(values: Array, compute: Callable[..., np.ndarray], *arguments: Any) -> Array:
    """Compute constants in the library, dtype and device of `values`."""
    if isinstance(values, np.ndarray):
        return compute(*arguments).astype(values.dtype, copy=False)
    return _cached_tensor(compute, arguments, values.dtype, values.device)


@lru_cache(maxsize=32)
def _cached_tensor(
    compute: Callable[..., np.ndarray], arguments: tuple[Any, ...], dtype: "torch.dtype", device: "torch.device"
) -> "torch.Tensor":
    """Compute constants on a device once, since their copy would make the host wait."""
    import torch

    with torch.inference_mode(False):  # else autograd refuses a tensor that inference has cached
        return to_device(torch.from_numpy(compute(*arguments)).to(dtype), device)
