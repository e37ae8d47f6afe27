"""Differentiable rasterizer and Lambertian shading of colored triangle meshes.

- A depth buffer finds the triangle visible at each pixel; visibility has no gradient.
- The pixel's color is interpolated from the triangle's three vertex colors.
- The color's gradient reaches the vertex colors and, through the barycentric coordinates, the vertex positions. Genova
  et al. (CVPR 2018) do the same; RetinaFace's dense branch renders with their method.
- Barycentric coordinates are those of the image plane. Perspective within a triangle, which covers a few pixels, is
  ignored.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

NUM_LIGHT_PARAMETERS = 9


class Rendering(NamedTuple):
    """Rendered images and the pixels they cover.

    Attributes:
        images: (n, side, side, 3), 0 where no triangle is.
        mask: (n, side, side) bool, True where a triangle is.
    """

    images: Tensor
    mask: Tensor


def render(vertices: Tensor, colors: Tensor, triangles: Tensor, side: int) -> Rendering:
    """Render meshes into square images.

    Args:
        vertices: (n, v, 3) x and y in pixels of the image (pixel k covers [k, k + 1)) and depth; the least is visible.
        colors: (n, v, 3), of any range.
        triangles: (m, 3) int64, visible from both sides; one with a vertex that is not finite is dropped.
        side: of the images, in pixels.
    """
    visible = rasterize(vertices.detach(), triangles, side)
    face, row, column = (visible >= 0).nonzero(as_tuple=True)
    corners = triangles[visible[face, row, column]]
    points = torch.stack([column, row], -1).to(vertices.dtype) + 0.5
    weights = _barycentric(vertices[face[:, None], corners, :2], points)
    values = (weights[..., None] * colors[face[:, None], corners]).sum(1)
    images = values.new_zeros(len(vertices), side, side, 3).index_put((face, row, column), values)
    return Rendering(images, visible >= 0)


def rasterize(vertices: Tensor, triangles: Tensor, side: int) -> Tensor:
    """Find the nearest triangle at each pixel center.

    Of triangles at one depth, such as two that share an edge, the first wins. Args are those of `render`.

    Returns:
        (n, side, side) int64 triangle indices, -1 where there is none.
    """
    count = len(triangles)
    corners = vertices[:, triangles].flatten(0, 1)
    triangle, column, row = _candidates(corners[..., :2], side)
    points = torch.stack([column, row], -1).to(vertices.dtype) + 0.5
    weights = _barycentric(corners[triangle, :, :2], points)
    inside = (weights >= 0).all(-1)
    triangle, weights = triangle[inside], weights[inside]
    pixel = (triangle.div(count, rounding_mode="floor") * side + row[inside]) * side + column[inside]
    depth = (weights * corners[triangle, :, 2]).sum(-1)
    nearest = depth.new_full((len(vertices) * side * side,), torch.inf).scatter_reduce_(0, pixel, depth, "amin")
    front = depth == nearest[pixel]
    background = torch.full_like(nearest, count, dtype=torch.int64)
    first = background.scatter_reduce_(0, pixel[front], triangle[front] % count, "amin")
    return torch.where(first == count, -1, first).view(len(vertices), side, side)


def _candidates(corners: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """List all pixels whose centers lie in the bounding boxes of triangles (t, 3, 2).

    Returns:
        The triangle, column and row (k,) of each pair of a triangle and a pixel.
    """
    finite = corners.isfinite().all(-1).all(-1)
    bounded = torch.where(finite[:, None, None], corners, -1)  # -1 is outside the image
    lows = (bounded.amin(1) - 0.5).ceil().clip(0, side).long()
    highs = (bounded.amax(1) - 0.5).floor().clip(-1, side - 1).long()
    spans = (highs - lows + 1).clip(min=0)
    counts = spans.prod(1)
    triangle = torch.arange(len(corners), device=corners.device).repeat_interleave(counts)
    number = torch.arange(len(triangle), device=corners.device) - (counts.cumsum(0) - counts)[triangle]
    width = spans[triangle, 0]
    row = number.div(width, rounding_mode="floor")
    return triangle, lows[triangle, 0] + number - row * width, lows[triangle, 1] + row


def _barycentric(corners: Tensor, points: Tensor) -> Tensor:
    """Compute the barycentric coordinates (k, 3) of points (k, 2).

    The triangles are (k, 3, 2); a triangle without an area gives NaN.
    """
    a, b, c = corners.unbind(1)
    ab, ac, ap = b - a, c - a, points - a
    area = _cross(ab, ac)
    second, third = _cross(ap, ac) / area, _cross(ab, ap) / area
    return torch.stack([1 - second - third, second, third], -1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def shade(vertices: Tensor, colors: Tensor, illumination: Tensor, triangles: Tensor) -> Tensor:
    """Compute the vertex colors of a lit mesh (Lambertian shading).

    color x (ambient light + point light x cosine between the light's direction and the normal).

    Args:
        vertices: (n, v, 3) in the face's frame.
        colors: (n, v, 3) RGB of the unlit skin, 0..1.
        illumination: (n, 9): the point light's location in the face's frame, its RGB, the RGB of the ambient light.
        triangles: (m, 3) int64.

    Returns:
        (n, v, 3) RGB, not clipped at 1: a bright color keeps its gradient.
    """
    location, point, ambient = illumination[:, None].split(3, dim=-1)
    towards = functional.normalize(location - vertices, dim=-1, eps=1e-9)
    cosines = (vertex_normals(vertices, triangles) * towards).sum(-1, keepdim=True).clip(min=0)
    return colors * (ambient + point * cosines)


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Compute the unit normals (n, v, 3) of vertices (n, v, 3).

    The mean normal of the adjacent triangles, weighted by area. It points to the side from which `triangles` (m, 3) run
    clockwise, with x to the right and y downwards: out of a face.
    """
    a, b, c = (vertices[:, triangles[:, corner]] for corner in range(3))
    outwards = torch.linalg.cross(c - a, b - a)
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        sums = sums.index_add(1, triangles[:, corner], outwards)
    return functional.normalize(sums, dim=-1, eps=1e-9)
