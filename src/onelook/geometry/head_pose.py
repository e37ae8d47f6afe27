"""Head pose: axes of a head from its mesh, and rotations about them."""

import cv2
import numpy as np

from onelook.geometry.mesh import mirror_permutation

_FOREHEAD, _CHIN = 10, 152


def head_axes(vertices: np.ndarray) -> np.ndarray:
    """Compute the axes of a head from the symmetry of its mesh (468, 3).

    Returns:
        (3, 3) rotation whose columns point towards the image's right, the chin and the back of the head.
    """
    points = vertices.astype(np.float64)
    # A vertex of the right half has a larger index than its mirror image.
    pairs = mirror_permutation()
    is_left = np.arange(len(pairs)) < pairs
    right = _normalize((points[pairs] - points)[is_left].sum(0))
    down = points[_CHIN] - points[_FOREHEAD]
    down = _normalize(down - right * (right @ down))
    return np.stack([right, down, np.cross(right, down)], 1)


def head_yaw(vertices: np.ndarray) -> float:
    """Compute the yaw of a mesh (468, 3) in degrees; positive towards the image's right."""
    x, y, z = head_axes(vertices)[:, 0]
    return float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def turn_rotation(axes: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
    """Compute the rotation (3, 3) in the image's frame that turns a head.

    A head nods about its own axis from left to right, then turns about the image's vertical axis, tilted by its roll.
    So both eyes of a head in profile are equally high, whatever its pitch.

    Args:
        axes: (3, 3) of `head_axes`.
        yaw: change in degrees; positive towards the image's right.
        pitch: change in degrees; positive upwards.
    """
    right = axes[:, 0]
    vertical = _normalize(np.array([-right[1], right[0], 0.0]))
    return _rotation(-yaw * vertical) @ _rotation(-pitch * right)


def _rotation(vector: np.ndarray) -> np.ndarray:
    matrix: np.ndarray = cv2.Rodrigues(np.radians(vector))[0]
    return matrix


def _normalize(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit
