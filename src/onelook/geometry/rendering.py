"""A small differentiable renderer: colored triangles to pixels, many faces at once.

Which triangle a pixel shows is found with a depth buffer and has no gradient; the pixel's color is interpolated from
the triangle's three, and its gradient goes to the colors and, through the barycentric coordinates, to where the
vertices are (as in Genova et al., CVPR 2018, which RetinaFace's dense branch renders with). The coordinates are those
of the picture: perspective is left out within a triangle, which covers a few pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Rendered(NamedTuple):
    """Pictures (n, side, side, 3), 0 where no triangle is, and where one is, (n, side, side) bool."""

    pictures: Tensor
    mask: Tensor


def render(vertices: Tensor, colors: Tensor, triangles: Tensor, side: int) -> Rendered:
    """Render faces into square pictures.

    Args:
        vertices: (n, v, 3) x and y in pixels of the picture (pixel k covers [k, k + 1)) and depth; the least is seen.
        colors: (n, v, 3), of any range.
        triangles: (m, 3) int64, seen from both sides; one with a vertex that is not finite is left out.
        side: of the pictures, in pixels.
    """
    seen = rasterize(vertices.detach(), triangles, side)
    face, row, column = (seen >= 0).nonzero(as_tuple=True)
    corners = triangles[seen[face, row, column]]
    places = torch.stack([column, row], -1).to(vertices.dtype) + 0.5
    weights = _barycentric(vertices[face[:, None], corners, :2], places)
    shown = (weights[..., None] * colors[face[:, None], corners]).sum(1)
    pictures = shown.new_zeros(len(vertices), side, side, 3).index_put((face, row, column), shown)
    return Rendered(pictures, seen >= 0)


def rasterize(vertices: Tensor, triangles: Tensor, side: int) -> Tensor:
    """The triangle (n, side, side) int64 nearest at each pixel's center, -1 where there is none.

    Of triangles at one depth, as where two share an edge, the first counts. Arguments as of `render`.
    """
    count = len(triangles)
    corners = vertices[:, triangles].flatten(0, 1)
    triangle, column, row = _candidates(corners[..., :2], side)
    places = torch.stack([column, row], -1).to(vertices.dtype) + 0.5
    weights = _barycentric(corners[triangle, :, :2], places)
    inside = (weights >= 0).all(-1)
    triangle, weights = triangle[inside], weights[inside]
    pixel = (triangle.div(count, rounding_mode="floor") * side + row[inside]) * side + column[inside]
    depth = (weights * corners[triangle, :, 2]).sum(-1)
    nearest = depth.new_full((len(vertices) * side * side,), torch.inf).scatter_reduce_(0, pixel, depth, "amin")
    front = depth == nearest[pixel]
    nobody = torch.full_like(nearest, count, dtype=torch.int64)
    first = nobody.scatter_reduce_(0, pixel[front], triangle[front] % count, "amin")
    return torch.where(first == count, -1, first).view(len(vertices), side, side)


def _candidates(corners: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Triangle, column and row (k,) of every pixel whose center lies in the box around one of triangles (t, 3, 2)."""
    whole = corners.isfinite().all(-1).all(-1)
    around = torch.where(whole[:, None, None], corners, -1)  # outside the picture
    lows = (around.amin(1) - 0.5).ceil().clip(0, side).long()
    highs = (around.amax(1) - 0.5).floor().clip(-1, side - 1).long()
    spans = (highs - lows + 1).clip(min=0)
    counts = spans.prod(1)
    triangle = torch.arange(len(corners), device=corners.device).repeat_interleave(counts)
    number = torch.arange(len(triangle), device=corners.device) - (counts.cumsum(0) - counts)[triangle]
    width = spans[triangle, 0]
    row = number.div(width, rounding_mode="floor")
    return triangle, lows[triangle, 0] + number - row * width, lows[triangle, 1] + row


def _barycentric(corners: Tensor, places: Tensor) -> Tensor:
    """Weights (k, 3) of the corners of triangles (k, 3, 2) at places (k, 2); NaN in a triangle without an area."""
    a, b, c = corners.unbind(1)
    across, down, out = b - a, c - a, places - a
    area = _cross(across, down)
    second, third = _cross(out, down) / area, _cross(across, out) / area
    return torch.stack([1 - second - third, second, third], -1)


def _cross(one: Tensor, other: Tensor) -> Tensor:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


ILLUMINATION = 9


def shade(vertices: Tensor, colors: Tensor, illumination: Tensor, triangles: Tensor) -> Tensor:
    """The colors of a lit mesh: own color x (ambient light + point light x cosine of its angle with the normal).

    Args:
        vertices: (n, v, 3) in the face's frame.
        colors: (n, v, 3) RGB of the unlit skin, 0..1.
        illumination: (n, 9): the point light's location in the face's frame, its RGB, the RGB of the ambient light.
        triangles: (m, 3) int64.

    Returns:
        (n, v, 3) RGB, not cut off at 1: a bright color keeps its gradient.
    """
    location, point, ambient = illumination[:, None].split(3, dim=-1)
    towards = functional.normalize(location - vertices, dim=-1, eps=1e-9)
    cosines = (vertex_normals(vertices, triangles) * towards).sum(-1, keepdim=True).clip(min=0)
    return colors * (ambient + point * cosines)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals (n, v, 3) of vertices (n, v, 3): of the triangles around them, weighted by area.

    They point to where `triangles` (m, 3) are seen turning clockwise, x to the right and y downwards: out of a face.
    """
    a, b, c = (vertices[:, triangles[:, corner]] for corner in range(3))
    outwards = torch.linalg.cross(c - a, b - a)
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        sums = sums.index_add(1, triangles[:, corner], outwards)
    return functional.normalize(sums, dim=-1, eps=1e-9)
