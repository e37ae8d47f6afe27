"""Surface of a whole head, extrapolated from the mesh of its face.

Rings of anchors around the face continue the mesh over hair, ears and neck to the back of the head. A last ring lies on
the image's border, so that the surface covers the image (face profiling; Zhu et al., CVPR 2016, section 4.2).
"""

from functools import cache
from itertools import pairwise

import numpy as np

from onelook.geometry.mesh import FACE_CONTOUR, NUM_VERTICES, mirror_permutation, triangles

_CONTOUR = np.array(FACE_CONTOUR)
# The outer ring by the direction from the center of the face: neck, jaw, ears, temples, crown. Its distance from the
# contour in the image and its depth behind the ears are in half face widths, chosen by eye on portraits.
_ELEVATIONS = (-90, -45, 0, 30, 60, 90)  # degrees
_REACH = (0.5, 0.3, 0.35, 0.18, 0.32, 0.5)
_DEPTH = (0.1, 0.3, 0.4, 0.85, 0.65, 0.1)
_RINGS = ((0.35, 0.3), (0.7, 0.65), (1.0, 1.0))  # fraction of the reach and of the depth
_BACKGROUND_DEPTH = 4.0  # behind the center of the face, so behind every turned anchor


def head_anchors(head: np.ndarray) -> np.ndarray:
    """Extrapolate the anchors of hair, ears and neck.

    Args:
        head: (468, 3) mesh in the frame of `head_axes`.

    Returns:
        (108, 3) in the same frame: three rings of 36 anchors, from the inner to the outer one.
    """
    contour = head[_CONTOUR]
    unit = half_width(head)
    outwards = contour[:, :2] - (contour[:, :2].max(0) + contour[:, :2].min(0)) / 2
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    elevations = np.degrees(np.arctan2(-outwards[:, 1], np.abs(outwards[:, 0])))
    reach = unit * np.interp(elevations, _ELEVATIONS, _REACH)
    depth = contour[:, 2].max() + unit * np.interp(elevations, _ELEVATIONS, _DEPTH) - contour[:, 2]
    step = np.column_stack([outwards * reach[:, None], depth])
    return np.concatenate([contour + step * (distance, distance, behind) for distance, behind in _RINGS])


def half_width(head: np.ndarray) -> float:
    """Return half the width of a face (468, 3) in the frame of `head_axes`."""
    return float(np.ptp(head[_CONTOUR, 0]) / 2)


def background_anchors(outer_ring: np.ndarray, width: int, height: int) -> np.ndarray:
    """Place one anchor of the background for each anchor of the head's outer ring.

    Args:
        outer_ring: (36, 2) in pixels of the image.
        width, height: of the image.

    Returns:
        (36, 2) where the ray from the ring's center through the ring's anchor leaves the image.
    """
    center = outer_ring.mean(0)
    rays = outer_ring - center
    with np.errstate(divide="ignore", invalid="ignore"):
        exits = np.where(rays > 0, (np.array([width, height]) - center) / rays, -center / rays)
    exits[rays == 0] = np.inf
    anchors: np.ndarray = center + exits.min(1, keepdims=True) * rays
    return anchors


def background_depth(head: np.ndarray) -> float:
    """Return the depth of the background behind the center of a face (468, 3)."""
    return _BACKGROUND_DEPTH * half_width(head)


@cache
def surface_triangles() -> np.ndarray:
    """Return the triangles (m, 3) int64 of the mesh, the rings of `head_anchors` and the background's ring."""
    count = len(_CONTOUR)
    rings = [_CONTOUR] + [NUM_VERTICES + ring * count + np.arange(count) for ring in range(len(_RINGS) + 1)]
    strips = []
    for inner, outer in pairwise(rings):
        next_inner, next_outer = np.roll(inner, -1), np.roll(outer, -1)
        strips += [np.stack([inner, outer, next_inner], 1), np.stack([next_inner, outer, next_outer], 1)]
    return np.concatenate([_symmetric_triangles(), *strips])


def _symmetric_triangles() -> np.ndarray:
    """Return triangles of the mesh whose left half is the right half's mirror image.

    Those of `triangles` fold over at the left jaw, which shows in profile.
    """
    twins = mirror_permutation()
    is_left = np.arange(NUM_VERTICES) < twins
    right = triangles()[~is_left[triangles()].any(1)]
    return np.concatenate([right, twins[right]])
