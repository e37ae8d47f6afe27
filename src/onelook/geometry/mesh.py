"""Face meshes: 468 vertices in fixed places of a face, and the triangles between them.

Vertices are x and y in pixels of the photo and z in the same unit, growing away from the camera. Which vertex is where
is fixed by the network that labels them; the triangles were made once, by `benchmarks/mesh_topology.py`.
"""

import json
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

VERTICES = 468
# Of a colored mesh: x, y, z and red, green, blue of each vertex, and the shape-and-texture parameters it is told by
# (RetinaFace, arXiv 1905.00641, section 3.2).
COORDINATES_AND_COLORS = 6
PARAMETERS = 128
NOSE_TIP = 1
# Both corners of each eye (the image's left one first), and both corners of the mouth.
EYES = ((33, 133), (362, 263))
MOUTH = (61, 291)
# The vertices that lie where the 68 points of iBUG's 300-W annotation do (Sagonas et al. 2013): jaw, brows, nose, eyes,
# outer and inner lips.
# fmt: off
POINTS_68 = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# fmt: on


@cache
def triangles() -> np.ndarray:
    """The fixed triangles (m, 3) int64 between the vertices."""
    text = files("onelook.geometry").joinpath("mesh_topology.json").read_text(encoding="utf-8")
    return np.array(json.loads(text)["triangles"], np.int64)


@cache
def edges() -> np.ndarray:
    """The edges (k, 2) int64 of the triangles, each once, the smaller vertex first."""
    sides = np.concatenate([triangles()[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    return np.unique(np.sort(sides, axis=1), axis=0)


@cache
def edges_68() -> np.ndarray:
    """The edges (k, 2) int64 of the outlines among `POINTS_68`, as places in it."""
    runs = [(0, 17), (17, 22), (22, 27), (27, 31), (31, 36)]
    rings = [(36, 42), (42, 48), (48, 60), (60, 68)]
    lines = [(i, i + 1) for first, last in runs for i in range(first, last - 1)]
    lines += [(i, i + 1 if i + 1 < last else first) for first, last in rings for i in range(first, last)]
    return np.array(lines, np.int64)


def mesh_to_landmarks(vertices: np.ndarray) -> np.ndarray:
    """The landmarks (..., 5, 2) that vertices (..., 468, 3) imply: middles of eyes, nose tip, corners of the mouth."""
    flat = vertices[..., :2]
    eyes = [(flat[..., outer, :] + flat[..., inner, :]) / 2 for outer, inner in EYES]
    points = [*eyes, flat[..., NOSE_TIP, :], flat[..., MOUTH[0], :], flat[..., MOUTH[1], :]]
    return np.stack(points, -2)


def mirror_mesh(vertices: np.ndarray, width: float) -> np.ndarray:
    """Vertices (..., 468, 3) after the photo of `width` pixels is flipped left to right: twins swap places."""
    mirrored: np.ndarray = vertices[..., mirror_permutation(), :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored


@cache
def mirror_permutation() -> np.ndarray:
    """The vertex (468,) that lies where each one does in a mirrored face; its own number on the middle line."""
    text = files("onelook.geometry").joinpath("mesh_topology.json").read_text(encoding="utf-8")
    return np.array(json.loads(text)["twins"], np.int64)


def to_obj(vertices: np.ndarray) -> str:
    """A mesh (468, 3) as the text of a Wavefront OBJ file: y upwards, z towards the viewer, as viewers expect."""
    lines = [f"v {x:.4f} {-y:.4f} {-z:.4f}" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in triangles() + 1]
    return "\n".join(lines) + "\n"


def encode_mesh(vertices: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (n, 468, 3) that lead from anchors (n, 4; center, size) to vertices (n, 468, 3).

    x and y from the anchor's center and z from the nose tip's, all in sides of the anchor: z is 0 at the nose tip
    (RetinaFace, CVPR 2020, section 3.2).
    """
    origin = torch.cat([anchors[:, None, :2], vertices[:, NOSE_TIP : NOSE_TIP + 1, 2:]], dim=-1)
    return (vertices - origin) / _sides(anchors)


def decode_mesh(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Vertices (n, 468, 3) that offsets lead to from anchors (n, 4): undoes `encode_mesh`, with the nose tip at z 0."""
    origin = torch.cat([anchors[:, :2], torch.zeros_like(anchors[:, :1])], dim=-1)
    return offsets * _sides(anchors) + origin[:, None]


def _sides(anchors: Tensor) -> Tensor:
    return anchors[:, None, [2, 3, 2]]
