"""Location of image points on a mesh: the triangle visible at a point, and the barycentric coordinates in it."""

from typing import NamedTuple

import numpy as np

NOT_ON_MESH = -1


class MeshLocation(NamedTuple):
    """Locations of n points on a mesh.

    Attributes:
        triangles: (n,) int64, the row of the triangle, or `NOT_ON_MESH`.
        weights: (n, 3) float64 barycentric coordinates, the weights of the triangle's corners, which sum to 1; NaN for
            a point that is not on the mesh.
    """

    triangles: np.ndarray
    weights: np.ndarray


def locate_points(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> MeshLocation:
    """Find the nearest triangle of a mesh at each point of the image.

    Of triangles at one depth, such as two that share an edge, the first wins, as in `rendering.rasterize`.

    Args:
        points: (n, 2) in pixels; the center of pixel k is at k + 0.5.
        vertices: (v, 3) x and y in pixels and depth, which grows away from the camera.
        triangles: (m, 3) int64, visible from both sides; one without an area, or with a vertex that is not finite, is
            left out.
    """
    corners = vertices.astype(np.float64)[triangles]  # (m, 3, 3)
    weights = _barycentric(points.astype(np.float64)[:, None], corners[..., :2])  # (n, m, 3)
    is_inside = (weights >= 0).all(-1) & np.isfinite(weights).all(-1) & np.isfinite(corners).all((1, 2))
    depths = np.where(is_inside, (np.nan_to_num(weights) * np.nan_to_num(corners[..., 2])).sum(-1), np.inf)
    nearest = depths.argmin(1)
    is_found = is_inside.any(1)
    located = np.where(is_found[:, None], weights[np.arange(len(points)), nearest], np.nan)
    return MeshLocation(np.where(is_found, nearest, NOT_ON_MESH), located)


def interpolate_vertices(location: MeshLocation, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Interpolate values of vertices (v, ...) at locations, for instance their positions in another mesh.

    Returns:
        (n, ...) float64, NaN for a point that is not on the mesh.
    """
    interpolated: np.ndarray = np.einsum("nk,nk...->n...", location.weights, values[triangles[location.triangles]])
    return interpolated


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Compute the barycentric coordinates (n, m, 3) of points (n, 1, 2) in triangles (m, 3, 2)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        area = _cross(b - a, c - a)
        second, third = _cross(points - a, c - a) / area, _cross(b - a, points - a) / area
    return np.stack([1 - second - third, second, third], -1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    product: np.ndarray = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product
