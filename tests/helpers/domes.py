"""A painted face in three dimensions for tests: the mesh's triangles flattened onto a disc and bent to a dome."""

from collections import Counter

import numpy as np

from onelook.geometry.alignment import REFERENCE_LANDMARKS, apply_transform, similarity_transform
from onelook.geometry.mesh import NUM_VERTICES, edges, mesh_to_landmarks, triangles


def dome() -> np.ndarray:
    """Vertices (468, 3) float64: x to the right, y downwards, z away; about two units wide, eyes over the mouth.

    Its border lies on a circle and every other vertex in the middle of its neighbors: no triangle is turned over
    (Tutte 1963).
    """
    border = _border()
    angles = np.arange(len(border)) * 2 * np.pi / len(border)
    flat = np.zeros((NUM_VERTICES, 2))
    flat[border] = np.stack([np.cos(angles), np.sin(angles)], 1)
    neighbors = np.zeros((NUM_VERTICES, NUM_VERTICES))
    neighbors[edges()[:, 0], edges()[:, 1]] = neighbors[edges()[:, 1], edges()[:, 0]] = 1
    middle = np.setdiff1d(np.arange(NUM_VERTICES), border)
    springs = np.diag(neighbors.sum(1)) - neighbors
    flat[middle] = np.linalg.solve(springs[np.ix_(middle, middle)], -springs[np.ix_(middle, border)] @ flat[border])
    points = mesh_to_landmarks(np.pad(flat, ((0, 0), (0, 1))))
    upright = similarity_transform(points, REFERENCE_LANDMARKS.astype(np.float64))
    upright[:, :2] /= np.hypot(upright[0, 0], upright[1, 0])
    upright[:, 2] = 0
    flat = apply_transform(upright, flat)
    return np.concatenate([flat, 0.6 * (flat**2).sum(1, keepdims=True) - 0.3], axis=1)


def painted(shape: np.ndarray) -> np.ndarray:
    """Colors (468, 3) in 0..1 of a dome: smooth stripes that differ from place to place."""
    x, y = shape[:, 0], shape[:, 1]
    return 0.5 + 0.35 * np.stack([np.sin(4 * x + 1), np.sin(5 * y), np.cos(3 * x - 4 * y)], 1)


def colored_dome() -> np.ndarray:
    """Vertices and colors (468, 6) float32: the mean face of a basis."""
    return np.concatenate([dome(), painted(dome())], axis=1).astype(np.float32)


def _border() -> np.ndarray:
    """The vertices of the border, in the order in which the triangles pass them: clockwise."""
    sides = [(int(a), int(b)) for corners in triangles() for a, b in zip(corners, np.roll(corners, -1), strict=True)]
    counts = Counter(frozenset(side) for side in sides)
    following = {a: b for a, b in sides if counts[frozenset((a, b))] == 1}
    border = [next(iter(following))]
    while (after := following[border[-1]]) != border[0]:
        border.append(after)
    return np.array(border)
