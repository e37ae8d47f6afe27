"""Shapes brought to a common frame: generalized Procrustes analysis in three dimensions (Gower 1975)."""

import numpy as np

_ROUNDS = 5


def generalized_procrustes(shapes: np.ndarray) -> np.ndarray:
    """Shapes (n, v, 3), each moved, turned and scaled onto the mean of all.

    The origin is the middle of the vertices, and their root mean square distance from it 1; the way they face is that
    of the mean of all before they are turned. Every shape has an extent.
    """
    centerd = shapes.astype(np.float64) - shapes.mean(1, keepdims=True)
    unit: np.ndarray = centerd / _radius(centerd)
    aligned, mean = unit, unit.mean(0)
    for _ in range(_ROUNDS):
        aligned = unit @ _rotations(unit, mean)
        mean = aligned.mean(0)
        mean /= _radius(mean)
    return aligned


def _rotations(shapes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotations (n, 3, 3) R, without mirroring, that bring shapes (n, v, 3) @ R closest to the target (v, 3)."""
    left, _, right = np.linalg.svd(shapes.swapaxes(1, 2) @ target)
    mirrored = np.linalg.det(left @ right) < 0
    left[mirrored, :, 2] *= -1
    turned: np.ndarray = left @ right
    return turned


def _radius(shapes: np.ndarray) -> np.ndarray:
    """Root mean square length (..., 1, 1) of the vertices (..., v, 3)."""
    radius: np.ndarray = np.sqrt((shapes**2).sum(-1).mean(-1))[..., None, None]
    return radius
