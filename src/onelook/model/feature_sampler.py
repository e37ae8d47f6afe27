"""Sampling of feature maps at a grid per face, on any device.

A bilinear sample is a weighted sum of four rows of a table of cells: an `embedding_bag`, whose backward pass is
deterministic on CUDA too. The table of a map holds all its pooled levels, so each face reads its own level without a
loop over faces or levels, and the host never waits for the device.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.device import to_device
from onelook.geometry.sampling_grid import center_grid, roi_grid, warp_grid
from onelook.settings import EmbeddingSettings

MAX_POOLINGS = 6
"""Largest number of 2x2 poolings of the finest map; a face that needs more fills any image."""

PIXEL_DENSITY = 4
"""Samples along each side of a grid cell where the finest map is the photo itself: of any other map there are 2."""

_GRIDS = {"warp": warp_grid, "roi": roi_grid, "center": center_grid}


class FeatureSampler(nn.Module):
    """Bilinear sampling of feature maps at a grid per face.

    A face whose grid is coarser than a map would alias. Its samples are therefore read from the map after as many
    2x2 average poolings as bring cells and grid to the same spacing.

    Attributes:
        strides: of the maps, in pixels, ascending.
        grid: function that computes the sampling grid from landmarks.
        samples: along each side of the grid; 1 where a single point is sampled.
        density: samples of the finest map along each side of a grid cell.
        extent: side of the grid, as a multiple of ArcFace's aligned crop.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        super().__init__()
        self.strides = settings.strides
        self.grid = _GRIDS[settings.sampling]
        self.samples = 1 if settings.sampling == "center" else settings.grid_size
        self.density = finest_density(settings.strides)
        self.extent = settings.extent
        self.avg_pool = AvgPool()

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """Sample maps.

        Args:
            maps: (B, c, H / stride, W / stride) each, of `strides`.
            landmarks: (n_i, 5, 2) in pixels, for each of the B images.

        Returns:
            For each map (n, c, samples, samples); for the first (n, density² c, samples, samples), the channels of the
            points of a cell one after another. Zeros outside a map. And the face of each row, (n,) int64; None where
            the rows are in the order of the faces.
        """
        points = torch.cat(list(landmarks))  # (n, 5, 2)
        counts = torch.tensor([len(each) for each in landmarks])
        images = to_device(torch.arange(len(landmarks)).repeat_interleave(counts), points.device)
        poolings = self.count_poolings(points)
        samples = []
        for index, (x, stride) in enumerate(zip(maps, self.strides, strict=True)):
            density = self.density if index == 0 else 1
            grid = self.grid(points, density * self.samples, self.extent, density)  # (n, s, density² s, 2)
            # The other maps are sampled less densely than the finest, so they need fewer poolings.
            limits = self.strides[0] * 2**poolings * self.density // density
            levels, strides = self._pool(x, stride)
            sampled = sample_levels(levels, strides, limits, grid, images)  # (n, s, density² s, c)
            # The points of a cell are neighbors in memory: together they are one sample of density² c channels.
            samples.append(
                sampled.view(len(points), self.samples, self.samples, x.shape[1] * density**2).permute(0, 3, 1, 2)
            )
        return samples, None

    def count_poolings(self, points: Tensor) -> Tensor:
        """Compute how often the finest map is pooled for each face, (n,) int64, from landmarks (n, 5, 2)."""
        corners = self.grid(points.detach(), 2, self.extent)[:, 0]  # (n, 2, 2), half a side of the grid apart
        side = 2 * torch.linalg.vector_norm(corners[:, 1] - corners[:, 0], dim=-1)
        spacing = side / (self.density * self.samples)
        return (spacing / self.strides[0]).clamp(min=1).log2().round().clamp(max=MAX_POOLINGS).long()

    def _pool(self, x: Tensor, stride: int) -> tuple[list[Tensor], list[int]]:
        """Pool a map as often as a face may need it and its size allows; return its levels and their strides."""
        levels, strides = [x], [stride]
        while strides[-1] < self.strides[0] * 2**MAX_POOLINGS * self.density and min(levels[-1].shape[-2:]) > 1:
            levels.append(self.avg_pool(levels[-1], 2))
            strides.append(2 * strides[-1])
        return levels, strides


def finest_density(strides: Sequence[int]) -> int:
    """Return the samples of the finest map along each side of a grid cell, from the strides of all maps."""
    return PIXEL_DENSITY if strides[0] == 1 else 2


class AvgPool(nn.Module):
    """Average pooling of squares of cells; a square cut off at the border is the average of what is inside."""

    def forward(self, x: Tensor, factor: int) -> Tensor:
        """Pool (B, c, H, W) to (B, c, ceil(H / factor), ceil(W / factor))."""
        if any(side % factor for side in x.shape[-2:]):
            return functional.avg_pool2d(x, factor, ceil_mode=True)
        return self.pool_divisible(x, factor)

    def pool_divisible(self, x: Tensor, factor: int) -> Tensor:
        """Pool a map whose sides are divisible by `factor`, as a depthwise convolution."""
        channels = x.shape[1]
        kernel = x.new_full((channels, 1, factor, factor), 1 / factor**2)
        return functional.conv2d(x, kernel, stride=factor, groups=channels)


def sample_levels(
    levels: Sequence[Tensor], strides: Sequence[int], limits: Tensor, grids: Tensor, images: Tensor
) -> Tensor:
    """Sample a map bilinearly, each grid from its own image and pooled level, with zeros outside the map.

    Args:
        levels: (B, c, H, W) each, every level half the size of the one before it.
        strides: of the levels, in pixels.
        limits: (n,) stride of the level that each grid reads; the coarsest level where there is none.
        grids: (n, h, w, 2) x and y in pixels.
        images: (n,) int64, the index of each grid's image.

    Returns:
        (n, h, w, c).
    """
    padded = [pad_to_two_by_two(level) for level in levels]
    table = torch.cat([level.permute(0, 2, 3, 1).flatten(0, 2) for level in padded])
    sizes = _level_sizes(tuple(level.shape for level in padded), tuple(strides), grids.device)
    level = (limits[:, None] > sizes[2, :-1]).sum(1)
    width, height, stride, start = sizes[:, level, None]
    places = grids.flatten(1, 2) / stride[..., None] - 0.5
    last_corner = torch.stack([width - 2, height - 2], -1)
    corner = torch.minimum(places.floor().clip(min=0), last_corner)
    # The weight of a neighbor is 1 less its distance, at least 0; a point outside the map has none.
    distance = places - corner
    weights = torch.stack([1 - distance.abs(), torch.minimum(distance, 2 - distance)], -1).clip(0, 1)
    column, row = corner.int().unbind(-1)
    cell = row * width + column + (start + images[:, None] * width * height)
    cells = torch.stack([cell, cell + 1, cell + width, cell + width + 1], -1)
    products = weights[..., 1, :, None] * weights[..., 0, None, :]  # rows by columns
    sums = functional.embedding_bag(
        cells.view(-1, 4), table, mode="sum", per_sample_weights=products.view(-1, 4).to(table.dtype)
    )
    return sums.view(*grids.shape[:3], table.shape[1])


@lru_cache(maxsize=64)
def _level_sizes(shapes: tuple[torch.Size, ...], strides: tuple[int, ...], device: torch.device) -> Tensor:
    """Return width, height, stride and first row in the table of each level, (4, levels) int64."""
    rows, start = [], 0
    for (images, _, height, width), stride in zip(shapes, strides, strict=True):
        rows.append((width, height, stride, start))
        start += images * height * width
    with torch.inference_mode(False):  # else autograd refuses a tensor that inference has cached
        return to_device(torch.tensor(rows).T.contiguous(), device)


def pad_to_two_by_two(level: Tensor) -> Tensor:
    """Pad a map with zeros to at least two rows and columns, so that every cell has a neighbor."""
    rows, columns = (max(0, 2 - side) for side in level.shape[2:])
    return functional.pad(level, (0, columns, 0, rows)) if rows or columns else level
