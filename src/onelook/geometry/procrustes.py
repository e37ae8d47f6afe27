"""Generalized Procrustes analysis of three-dimensional shapes (Gower 1975)."""

import numpy as np

_ITERATIONS = 5


def generalized_procrustes(shapes: np.ndarray) -> np.ndarray:
    """Align shapes to their common mean by translation, rotation and scaling.

    Args:
        shapes: (n, v, 3), none of zero extent.

    Returns:
        (n, v, 3) float64. Every centroid is the origin, and the root mean square distance from it is 1. The orientation
        is that of the unaligned shapes' mean.
    """
    centered = shapes.astype(np.float64) - shapes.mean(1, keepdims=True)
    unit: np.ndarray = centered / _rms_radius(centered)
    aligned, mean = unit, unit.mean(0)
    for _ in range(_ITERATIONS):
        aligned = unit @ _fit_rotations(unit, mean)
        mean = aligned.mean(0)
        mean /= _rms_radius(mean)
    return aligned


def _fit_rotations(shapes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fit rotations R (n, 3, 3) that bring shapes @ R closest to the target.

    The Kabsch algorithm: an orthogonal Procrustes fit without reflection. Shapes are (n, v, 3), the target is (v, 3).
    """
    left, _, right = np.linalg.svd(shapes.swapaxes(1, 2) @ target)
    reflected = np.linalg.det(left @ right) < 0
    left[reflected, :, 2] *= -1
    rotations: np.ndarray = left @ right
    return rotations


def _rms_radius(shapes: np.ndarray) -> np.ndarray:
    """Compute the root mean square norm (..., 1, 1) of vertices (..., v, 3)."""
    radius: np.ndarray = np.sqrt((shapes**2).sum(-1).mean(-1))[..., None, None]
    return radius
