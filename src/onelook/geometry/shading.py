"""A point light and an ambient one on a coloured mesh: RetinaFace's 9 illumination parameters (arXiv 1905.00641, 3.2).

Lambert's law, the diffuse part of Phong's model (Phong 1975), per vertex.
"""

import torch
from torch import Tensor
from torch.nn import functional

ILLUMINATION = 9


def shade(vertices: Tensor, colours: Tensor, illumination: Tensor, triangles: Tensor) -> Tensor:
    """The colours of a lit mesh: own colour x (ambient light + point light x cosine of its angle with the normal).

    Args:
        vertices: (n, v, 3) in the face's frame.
        colours: (n, v, 3) RGB of the unlit skin, 0..1.
        illumination: (n, 9): the point light's location in the face's frame, its RGB, the RGB of the ambient light.
        triangles: (m, 3) int64.

    Returns:
        (n, v, 3) RGB, not cut off at 1: a bright colour keeps its gradient.
    """
    location, point, ambient = illumination[:, None].split(3, dim=-1)
    towards = functional.normalize(location - vertices, dim=-1, eps=1e-9)
    cosines = (normals(vertices, triangles) * towards).sum(-1, keepdim=True).clip(min=0)
    return colours * (ambient + point * cosines)


def normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals (n, v, 3) of vertices (n, v, 3): of the triangles around them, weighted by area.

    They point to where `triangles` (m, 3) are seen turning clockwise, x to the right and y downwards: out of a face.
    """
    a, b, c = (vertices[:, triangles[:, corner]] for corner in range(3))
    outwards = torch.linalg.cross(c - a, b - a)
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        sums = sums.index_add(1, triangles[:, corner], outwards)
    return functional.normalize(sums, dim=-1, eps=1e-9)
