"""Face mesh topology: 468 vertices with fixed indices, and the triangles between them.

Vertices are x and y in pixels of the image and z in the same unit, growing away from the camera. The vertex indices are
those of MediaPipe Face Mesh, the network that labels the meshes. `benchmarks/mesh_topology.py` computed the triangles.
"""

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from onelook.geometry.array_namespace import Array, array_namespace

if TYPE_CHECKING:
    from torch import Tensor

NUM_VERTICES = 468
# RetinaFace's colored mesh has x, y, z and red, green, blue per vertex. Its decoder takes 128 shape-and-texture
# parameters (arXiv 1905.00641, section 3.2).
VERTEX_CHANNELS = 6
NUM_SHAPE_PARAMETERS = 128
NOSE_TIP = 1
# Both corners of each eye (the image's left eye first), and both corners of the mouth.
EYE_CORNERS = ((33, 133), (362, 263))
OUTER_EYE_CORNERS = (33, 263)
MOUTH_CORNERS = (61, 291)
# The vertices nearest to the 68 points of iBUG's 300-W annotation (Sagonas et al. 2013): jaw, brows, nose, eyes, outer
# and inner lips.
# fmt: off
POINTS_68 = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# The contour of the face clockwise from the forehead, as the image shows it.
FACE_CONTOUR = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on


@cache
def triangles() -> np.ndarray:
    """Return the fixed triangles (m, 3) int64 as vertex indices."""
    return np.array(_read_topology()["triangles"], np.int64)


@cache
def edges() -> np.ndarray:
    """Return the unique edges (k, 2) int64 of the triangles.

    The smaller vertex index comes first.
    """
    sides = np.concatenate([triangles()[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    return np.unique(np.sort(sides, axis=1), axis=0)


@cache
def edges_68() -> np.ndarray:
    """Return the outline edges (k, 2) int64, as indices into `POINTS_68`."""
    open_lines = [(0, 17), (17, 22), (22, 27), (27, 31), (31, 36)]
    rings = [(36, 42), (42, 48), (48, 60), (60, 68)]
    lines = [(i, i + 1) for first, last in open_lines for i in range(first, last - 1)]
    lines += [(i, i + 1 if i + 1 < last else first) for first, last in rings for i in range(first, last)]
    return np.array(lines, np.int64)


@cache
def mirror_permutation() -> np.ndarray:
    """Return the mirrored vertex index (468,) int64 of each vertex.

    A vertex on the middle line is its own mirror image.
    """
    return np.array(_read_topology()["twins"], np.int64)


@cache
def _read_topology() -> dict[str, list]:
    text = files("onelook.geometry").joinpath("mesh_topology.json").read_text(encoding="utf-8")
    topology: dict[str, list] = json.loads(text)
    return topology


def mesh_to_landmarks(vertices: Array) -> Array:
    """Compute the landmarks (..., 5, 2) of meshes (..., 468, 3).

    Eye centers, nose tip and mouth corners.
    """
    flat = vertices[..., :2]
    eyes: list[Array] = [(flat[..., outer, :] + flat[..., inner, :]) / 2 for outer, inner in EYE_CORNERS]
    points = [*eyes, flat[..., NOSE_TIP, :], flat[..., MOUTH_CORNERS[0], :], flat[..., MOUTH_CORNERS[1], :]]
    landmarks: Array = array_namespace(vertices).stack(points, -2)
    return landmarks


def mirror_mesh(vertices: np.ndarray, width: float) -> np.ndarray:
    """Flip meshes (..., 468, 3) horizontally in an image of `width` pixels.

    Mirrored vertices swap indices.
    """
    mirrored: np.ndarray = vertices[..., mirror_permutation(), :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored


def to_obj(vertices: np.ndarray) -> str:
    """Format a mesh (468, 3) as a Wavefront OBJ file.

    y points upwards and z towards the viewer, as OBJ viewers expect.
    """
    lines = [f"v {x:.4f} {-y:.4f} {-z:.4f}" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in triangles() + 1]
    return "\n".join(lines) + "\n"


def encode_mesh(vertices: "Tensor", anchors: "Tensor") -> "Tensor":
    """Encode meshes (n, 468, 3) as offsets from anchors (n, 4; center, size).

    Offsets are in sides of the anchor, x and y from its center. z is 0 at the nose tip (RetinaFace, CVPR 2020, section
    3.2).
    """
    xp = array_namespace(anchors)
    origin = xp.concatenate([anchors[:, None, :2], vertices[:, NOSE_TIP : NOSE_TIP + 1, 2:]], -1)
    return (vertices - origin) / _sides(anchors)


def decode_mesh(offsets: "Tensor", anchors: "Tensor") -> "Tensor":
    """Decode offsets (n, 468, 3) from anchors (n, 4) to meshes (n, 468, 3).

    The inverse of `encode_mesh`, with the nose tip at z 0.
    """
    xp = array_namespace(anchors)
    origin = xp.concatenate([anchors[:, :2], xp.zeros_like(anchors[:, :1])], -1)
    return offsets * _sides(anchors) + origin[:, None]


def _sides(anchors: "Tensor") -> "Tensor":
    # Not by a list of indices, which torch would copy to the device of the anchors.
    sides: Tensor = array_namespace(anchors).concatenate([anchors[:, None, 2:], anchors[:, None, 2:3]], -1)
    return sides
