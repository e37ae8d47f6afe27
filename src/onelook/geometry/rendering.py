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
# Triangles compared with all pixels at once on a device, which bounds the memory.
_BLOCK = 64


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
    mask = visible >= 0
    first_vertex = torch.arange(len(vertices), device=vertices.device)[:, None, None, None] * vertices.shape[1]
    corners = (first_vertex + triangles[visible.clip(min=0)]).flatten(0, 2)  # (n side side, 3)
    # A pixel without a triangle gets one with an area, whose gradient is finite, and the gradient 0.
    unit = torch.eye(3, 2, dtype=vertices.dtype, device=vertices.device)
    positions = torch.where(mask.view(-1, 1, 1), vertices.flatten(0, 1)[corners, :2], unit)
    weights = _barycentric(positions, _pixel_centers(side, vertices).repeat(len(vertices), 1))
    values = (weights[..., None] * colors.flatten(0, 1)[corners]).sum(1).view(*mask.shape, 3)
    return Rendering(values.where(mask[..., None], 0), mask)


def rasterize(vertices: Tensor, triangles: Tensor, side: int) -> Tensor:
    """Find the nearest triangle at each pixel center.

    Of triangles at one depth, such as two that share an edge, the first wins. Args are those of `render`.

    Returns:
        (n, side, side) int64 triangle indices, -1 where there is none.
    """
    corners = vertices[:, triangles]  # (n, m, 3, 3)
    return _rasterize_candidates(corners, side) if corners.device.type == "cpu" else rasterize_blocks(corners, side)


def rasterize_blocks(corners: Tensor, side: int) -> Tensor:
    """Rasterize triangles (n, m, 3, 3) as `rasterize`, with every pixel of the image as a candidate.

    The size of no result depends on the data, so a device does not wait. It is for devices: the CPU is faster with the
    candidates of each triangle alone.
    """
    points = _pixel_centers(side, corners)
    nearest = corners.new_full((len(corners), side * side), torch.inf)
    first = torch.full_like(nearest, -1, dtype=torch.int64)
    for start in range(0, corners.shape[1], _BLOCK):
        block = corners[:, start : start + _BLOCK]
        weights = _barycentric(block[:, :, None, :, :2], points)  # (n, m, side², 3)
        depth = (weights * block[:, :, None, :, 2]).sum(-1)
        depth = depth.where((weights >= 0).all(-1) & block.isfinite().flatten(2).all(-1)[..., None], torch.inf)
        best = depth.amin(1)
        numbers = torch.arange(start, start + depth.shape[1], device=depth.device)[:, None]
        found = numbers.where(depth == best[:, None], corners.shape[1]).amin(1)
        first = torch.where(best < nearest, found, first)
        nearest = torch.minimum(nearest, best)
    return first.view(-1, side, side)


def _rasterize_candidates(corners: Tensor, side: int) -> Tensor:
    """Rasterize triangles (n, m, 3, 3) as `rasterize`, with the pixels in their bounding boxes as candidates."""
    images, count = corners.shape[:2]
    corners = corners.flatten(0, 1)
    triangle, column, row = _candidates(corners[..., :2], side)
    points = torch.stack([column, row], -1).to(corners.dtype) + 0.5
    weights = _barycentric(corners[triangle, :, :2], points)
    inside = (weights >= 0).all(-1)
    triangle, weights = triangle[inside], weights[inside]
    pixel = (triangle.div(count, rounding_mode="floor") * side + row[inside]) * side + column[inside]
    depth = (weights * corners[triangle, :, 2]).sum(-1)
    nearest = depth.new_full((images * side * side,), torch.inf).scatter_reduce_(0, pixel, depth, "amin")
    front = depth == nearest[pixel]
    background = torch.full_like(nearest, count, dtype=torch.int64)
    first = background.scatter_reduce_(0, pixel[front], triangle[front] % count, "amin")
    return torch.where(first == count, -1, first).view(images, side, side)


def _pixel_centers(side: int, like: Tensor) -> Tensor:
    """Return the centers (side², 2) of the pixels of an image row by row, in the dtype and on the device of `like`."""
    steps = torch.arange(side, dtype=like.dtype, device=like.device) + 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


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
    """Compute the barycentric coordinates (..., 3) of points (..., 2) in triangles (..., 3, 2).

    A triangle without an area gives NaN or infinity.
    """
    a, b, c = corners.unbind(-2)
    ab, ac, ap = b - a, c - a, points - a
    area = _cross(ab, ac)
    second, third = _cross(ap, ac) / area, _cross(ab, ap) / area
    return torch.stack([1 - second - third, second, third], -1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


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
