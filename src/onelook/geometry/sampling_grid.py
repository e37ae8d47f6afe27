"""Where a face given by its five landmarks is sampled: grids of an aligned square, of an upright one, of one point.

Points are continuous coordinates: pixel k covers [k, k + 1), its center is k + 0.5.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from onelook.geometry.alignment import CROP, TEMPLATE, apply_transform, similarity_transform
from onelook.geometry.arrays import Array, array_namespace

if TYPE_CHECKING:
    pass

# Both libraries: training wants gradients, and a look the quicker start of NumPy's small steps.


def warp_grid(landmarks: Array, samples: int, extent: float = 1.0, together: int = 1) -> Array:
    """Where in the photo an aligned face is sampled.

    Args:
        landmarks: (n, 5, 2) in pixels of the photo.
        samples: samples along each side of the aligned square.
        extent: side of that square, in sides of the crop that `TEMPLATE` belongs to; they share their center.
        together: so many samples along each side make a small square; it divides `samples`.

    Returns:
        (n, samples / together, samples * together, 2) x and y in pixels of the photo: small squares row by row of the
        aligned square, and in each its samples row by row.
    """
    exact = "float64" if "64" in str(landmarks.dtype) else "float32"
    matrix = _like(landmarks, _grid_matrix(samples, extent, together, exact))
    points = (landmarks.reshape(-1, 10) @ matrix).reshape(-1, 2, samples // together, samples * together)
    return points.swapaxes(1, 2).swapaxes(2, 3)


def roi_grid(landmarks: Array, samples: int, extent: float = 1.0, together: int = 1) -> Array:
    """As `warp_grid`, but along the photo's own axes, however the face is turned: the square of a region.

    The square lies about the mean of the five points, and grows with the longer side of the box around them, as the
    crop does in `TEMPLATE`: for points that are the template, moved and scaled, it is the grid of `warp_grid`.
    """
    scale = _longer_side(landmarks) / float(_longer_side(TEMPLATE))
    square = _like(landmarks, _square(samples, extent, together) - TEMPLATE.mean(0))
    points = square[None] * scale[:, None, None] + landmarks.mean(1)[:, None]
    return points.reshape(-1, samples // together, samples * together, 2)


def center_grid(landmarks: Array, samples: int, extent: float = 1.0, together: int = 1) -> Array:
    """As `warp_grid`, but every sample is taken at the mean of the five points; `extent` changes nothing."""
    middle = landmarks.mean(1)[:, None, None]
    return array_namespace(landmarks).broadcast_to(middle, (len(landmarks), samples // together, samples * together, 2))


@lru_cache(maxsize=16)
def _grid_matrix(samples: int, extent: float, together: int, dtype: str) -> np.ndarray:
    """What five points, (10,), are multiplied by to be the grid's x and y, (10, 2 * samples * samples).

    A least-squares similarity from a fixed template is linear in the points that it leads to.
    """
    transforms = similarity_transform(TEMPLATE.astype(np.float64)[None], np.eye(10).reshape(10, 5, 2))
    points = apply_transform(transforms, _square(samples, extent, together)[None])
    return np.ascontiguousarray(points.swapaxes(1, 2).reshape(10, -1), dtype)


def _square(samples: int, extent: float, together: int) -> np.ndarray:
    """The samples (samples * samples, 2; float64) in pixels of the aligned crop, in the order of `warp_grid`."""
    steps = CROP * (((np.arange(samples) + 0.5) / samples - 0.5) * extent + 0.5)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    # Rows of small squares, rows in these, small squares, samples in their rows.
    points = np.stack([x, y], -1).reshape(samples // together, together, samples // together, together, 2)
    return points.swapaxes(1, 2).reshape(-1, 2)


def _longer_side(points: Array) -> Array:
    """Of the box around points (..., k, 2)."""
    library = array_namespace(points)
    return library.amax(library.amax(points, -2) - library.amin(points, -2), -1)


def _like(values: Array, constants: np.ndarray) -> Array:
    """The constants as an array of the other's library and type."""
    if isinstance(values, np.ndarray):
        return constants.astype(values.dtype, copy=False)
    return array_namespace(values).from_numpy(constants).to(values)
