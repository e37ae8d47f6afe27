"""Fast sampling of feature maps on a CPU, equal to `FeatureSampler` of `onelook.model.embedding_head`.

Five differences make it fast:

- Faces are sorted by their number of poolings, so the faces that read the same pooled map are sampled at once.
- A bilinear sample is a weighted sum of four rows of a table of cells, an `embedding_bag` on a channels-last map.
- Up to 8 points without gradient are computed in NumPy, which starts a small operation sooner than torch.
- OpenCV interleaves indices and weights with vector instructions.
- OpenCV warps the photo's own pixels, the map of stride 1: their grid is affine, and three channels make short rows.

Milliseconds to sample the four maps of a VGA image, with two threads (`benchmarks/embedding_cost.py`):

| faces | `FeatureSampler` | `FastSampler` |
|---|---|---|
| 1 | 3.9 | 1.1 |
| 8 | 18 | 2.0 |
| 32 | 58 | 6.0 |
| 32, with the gradients of the maps | 233 | 44 |
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.array_namespace import Array, array_namespace
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.feature_sampler import MAX_POOLINGS, FeatureSampler, pad_to_two_by_two
from onelook.model.joint_network import JointNetwork

# Most faces whose points are computed in NumPy.
_MAX_NUMPY_FACES = 8


def use_fast_sampler(network: JointNetwork) -> None:
    """Replace the sampler of a network's embedding head by `FastSampler`, in place."""
    if isinstance(network.embedding, EmbeddingHead):
        network.embedding.sampler = FastSampler(network.settings.embedding)


class FastSampler(FeatureSampler):
    """`FeatureSampler` for maps in channels-last memory format on a CPU.

    Rows are in the order of the faces' number of poolings; `order` maps them back. Samples are channels-last, too.
    """

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Sample maps; arguments and result as in `FeatureSampler`."""
        points: Any = torch.cat(list(landmarks))
        if len(points) <= _MAX_NUMPY_FACES and not points.requires_grad:
            points = points.numpy()
        images = np.repeat(np.arange(len(landmarks)), [len(each) for each in landmarks])
        poolings = self._count_poolings_numpy(points)
        order = np.argsort(poolings, kind="stable")
        points, images = points[order], images[order]
        counts = np.bincount(poolings)
        present = np.flatnonzero(counts)
        finest, *others = (
            self._pool_to_limits(
                x,
                stride,
                # The other maps are sampled less densely than the finest, so they need fewer poolings.
                [self.strides[0] * 2**n * (self.density if i else 1) for n in present.tolist()],
                counts[present].tolist(),
            )
            for i, (x, stride) in enumerate(zip(maps, self.strides, strict=True))
        )
        samples = [self._sample_finest(finest, points, images)]
        if others:
            samples += sample_bilinear(others, self.grid(points, self.samples, self.extent), images)
        return samples, torch.from_numpy(order)

    def _sample_finest(self, finest: "PooledMap", points: Any, images: np.ndarray) -> Tensor:
        """Sample the finest map densely: (n, density² c, samples, samples), channels-last."""
        side = self.density * self.samples
        if self.strides[0] == 1 and self.samples > 1:
            corners = np.asarray(self.grid(points, 2, self.extent), np.float64)
            samples = warp_pixels(finest, corners, images, side)  # (n, side, side, c)
            tiles = samples.unflatten(1, (-1, self.density)).unflatten(3, (-1, self.density)).transpose(2, 3)
        else:
            grid = self.grid(points, side, self.extent, self.density)
            tiles = sample_bilinear([finest], grid, images)[0].permute(0, 2, 3, 1)
        # The points of a cell are neighbors in memory: together they are one sample of density² times the channels.
        channels = self.density**2 * tiles.shape[-1]
        return tiles.reshape(len(points), self.samples, self.samples, channels).permute(0, 3, 1, 2)

    def _count_poolings_numpy(self, points: Any) -> np.ndarray:
        """Compute how often the finest map is pooled for each face, (n,) int64, from landmarks (n, 5, 2)."""
        points = points if isinstance(points, np.ndarray) else points.detach().numpy()
        corners = self.grid(points, 2, self.extent)[:, 0]
        spacing = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1) * 2 / (self.density * self.samples)
        return np.log2(np.maximum(spacing / self.strides[0], 1)).round().clip(0, MAX_POOLINGS).astype(np.int64)

    def _pool_to_limits(self, x: Tensor, stride: int, limits: Sequence[int], counts: Sequence[int]) -> "PooledMap":
        """Pool a map down to each of the strides in `limits`, as far as its size allows.

        Args:
            x: (B, c, H, W).
            stride: of the map, in pixels.
            limits: strides in pixels, ascending.
            counts: number of faces of each limit.
        """
        levels, strides, faces = [x], [stride], [0]
        for limit, count in zip(limits, counts, strict=True):
            while stride < limit and min(x.shape[-2:]) > 1:
                # One 4x4 pooling equals two 2x2 where both sides are divisible, and the full map is read once.
                factor = 4 if 4 * stride <= limit and not any(side % 4 for side in x.shape[-2:]) else 2
                x, stride = self.avg_pool(x, factor), stride * factor
            if stride > strides[-1]:
                levels.append(x)
                strides.append(stride)
                faces.append(0)
            faces[-1] += count
        first = int(len(levels) > 1 and not faces[0])  # drop the unpooled map if no face reads it
        return PooledMap(levels[first:], strides[first:], faces[first:])


class PooledMap(NamedTuple):
    """A map in several resolutions.

    levels: (B, c, H, W), floating point, each. strides: of the levels, in pixels. counts: number of grids that read
    each level; the grids are sorted by level.
    """

    levels: Sequence[Tensor]
    strides: Sequence[int]
    counts: Sequence[int]


def warp_pixels(pooled: PooledMap, corners: np.ndarray, images: np.ndarray, side: int) -> Tensor:
    """Sample squares of a map bilinearly by OpenCV, each from its own image and level.

    Args:
        pooled: the map and its levels.
        corners: (n, 2, 2, 2) float64, x and y in pixels of the points a quarter of the square inside its corners.
        images: (n,) int64, the index of each square's image.
        side: samples along each side.

    Returns:
        (n, side, side, c) float32, zeros outside the map.
    """
    levels = [level.permute(0, 2, 3, 1).float().contiguous().numpy() for level in pooled.levels]
    rows = np.repeat(np.arange(len(levels)), pooled.counts)
    samples = np.empty((len(corners), side, side, levels[0].shape[-1]), np.float32)
    axes = np.stack([corners[:, 0, 1] - corners[:, 0, 0], corners[:, 1, 0] - corners[:, 0, 0]], -1) * 2  # of the square
    first = corners[:, 0, 0] + axes @ np.full(2, 0.5 / side - 0.25)
    matrices = np.concatenate([axes / side, first[..., None]], -1) / np.array(pooled.strides)[rows, None, None]
    matrices[..., 2] -= 0.5  # OpenCV has pixel centers at integer coordinates
    for matrix, row, image, out in zip(matrices, rows, images, samples, strict=True):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(levels[row][image], matrix, (side, side), dst=out, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    return torch.from_numpy(samples)


def sample_bilinear(maps: Sequence[PooledMap], grids: Array, images: np.ndarray) -> list[Tensor]:
    """Sample maps bilinearly, each grid from its own image and level.

    Args:
        maps: sampled at the same grids; channels and sizes may differ.
        grids: (n, h, w, 2) x and y in pixels; a tensor may require a gradient.
        images: (n,) int64, the index of each grid's image.

    Returns:
        For each map (n, c, h, w), channels-last, zeros outside the map.
    """
    padded = [each._replace(levels=[pad_to_two_by_two(level) for level in each.levels]) for each in maps]
    cells, weights = _cells_and_weights(_map_sizes(padded), grids, images)
    sampled = map(_sample_levels, padded, cells, weights.to(maps[0].levels[0].dtype))
    return [rows.view(*grids.shape[:3], rows.shape[-1]).permute(0, 3, 1, 2) for rows in sampled]


def _sample_levels(pooled: PooledMap, cells: Tensor, weights: Tensor) -> Tensor:
    """Compute the samples (n, points, c) from cells and weights (n, points, 4), each face from its own level."""
    if len(pooled.levels) == 1:
        return _weighted_sums(pooled.levels[0], cells, weights)
    counts = list(pooled.counts)
    parts = zip(pooled.levels, cells.split(counts), weights.split(counts), strict=True)
    return torch.cat([_weighted_sums(*part) for part in parts])


def _weighted_sums(level: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
    table = level.permute(0, 2, 3, 1).reshape(-1, level.shape[1])
    sums = functional.embedding_bag(cells.view(-1, 4), table, mode="sum", per_sample_weights=weights.view(-1, 4))
    return sums.view(*cells.shape[:2], level.shape[1])


def _cells_and_weights(sizes: np.ndarray, grids: Any, images: np.ndarray) -> tuple[Tensor, Tensor]:
    """Compute the four cells around each point, (maps, n, points, 4) int32, and their bilinear weights.

    Args:
        sizes: width, height and stride of the level that each face reads of each map, (3, maps, n, 1) int64.
        grids: as in `sample_bilinear`.
        images: as in `sample_bilinear`.
    """
    xp = array_namespace(grids)
    size, stride = (_convert(xp, part.astype(np.float32)) for part in (sizes[:2], sizes[2]))
    places = xp.moveaxis(grids, 3, 0).reshape(2, 1, len(grids), grids.shape[1] * grids.shape[2]) / stride
    places -= 0.5
    # Without a gradient, results overwrite their arguments: the operations are few, but the arrays are large.
    out = (lambda x: None) if getattr(places, "requires_grad", False) else (lambda x: x)
    first = xp.floor(places)
    first = xp.clip(first, 0, np.inf, out=out(first))  # NumPy clips at two bounds faster than at one
    first = xp.minimum(first, size - 2, out=out(first))
    places -= first
    # The weight of a neighbor is 1 less its distance, at least 0; a point outside the map has none.
    far = 2 - places
    far = xp.minimum(places, far, out=out(far))
    near = 1 - abs(places)
    near, far = (xp.clip(each, 0, 1, out=out(each)) for each in (near, far))
    weights = [column[0] * row[1] for row in (near, far) for column in (near, far)]
    before = images[:, None] * sizes[0] * sizes[1]
    width, before = (_convert(xp, values.astype(np.int32)) for values in (sizes[0], before))
    column, row = first.astype(np.int32) if xp is np else first.int()
    corner = row * width
    corner += column
    corner += before
    cells = corner, corner + 1, corner + width, corner + (width + 1)
    return _interleave(cells), _interleave(weights)


def _convert(xp: Any, values: np.ndarray) -> Any:
    return values if xp is np else torch.from_numpy(values)


def _interleave(columns: Sequence[Any]) -> Tensor:
    """Stack arrays (maps, n, m) along a new last axis, (maps, n, m, columns)."""
    if isinstance(columns[0], Tensor) and columns[0].requires_grad:
        return torch.stack(list(columns), -1)
    arrays = [np.asarray(each).reshape(-1, columns[0].shape[-1]) for each in columns]
    merged = cv2.merge(arrays) if arrays[0].size else np.stack(arrays, -1)  # OpenCV refuses empty arrays
    return torch.from_numpy(merged.reshape(*columns[0].shape, len(columns)))


def _map_sizes(maps: Sequence[PooledMap]) -> np.ndarray:
    """Return width, height and stride of the level that each face reads of each map, (3, maps, n, 1) int64."""
    rows = [
        [row for row, count in zip(_level_sizes(each), each.counts, strict=True) for _ in range(count)] for each in maps
    ]
    return np.array(rows, np.int64).reshape(len(maps), -1, 3).transpose(2, 0, 1)[..., None]


def _level_sizes(pooled: PooledMap) -> list[tuple[int, int, int]]:
    rows = zip(pooled.levels, pooled.strides, strict=True)
    return [(level.shape[3], level.shape[2], stride) for level, stride in rows]
