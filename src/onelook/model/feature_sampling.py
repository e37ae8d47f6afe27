"""Bilinear samples of maps at points of the photo, for many faces at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.arrays import Array, array_namespace


class Levels(NamedTuple):
    """A map in several sizes.

    levels: (B, c, H, W), float, of each size. strides: of each, in pixels. counts: of the grids that read each, those
    of one size after those of another.
    """

    levels: Sequence[Tensor]
    strides: Sequence[int]
    counts: Sequence[int]


def bilinear(maps: Sequence[Levels], grids: Array, owners: np.ndarray) -> list[Tensor]:
    """Read maps where faces are.

    A sample is the weighted sum of four cells, which is what a bag of embeddings is: every cell of a map is a row of a
    table. With the channels innermost, as the maps are kept, that is several times as fast as `grid_sample`.

    Args:
        maps: that the same grids are read from, each with channels and sizes of its own.
        grids: (n, h, w, 2) x and y in pixels of the photo; of a tensor the gradient is known.
        owners: (n,) int64, which of the B images each grid lies in.

    Returns:
        For each map (n, c, h, w), channels innermost in memory; outside a map all is 0.
    """
    padded = [each._replace(levels=[_two_by_two(level) for level in each.levels]) for each in maps]
    cells, shares = _cells(_sizes(padded), grids, owners)
    sampled = map(_read, padded, cells, shares.to(maps[0].levels[0].dtype))
    return [rows.view(*grids.shape[:3], rows.shape[-1]).permute(0, 3, 1, 2) for rows in sampled]


def _read(sized: Levels, cells: Tensor, shares: Tensor) -> Tensor:
    """The samples (n, points, c) of four cells each, (n, points, 4), in their shares; each face's of its own level."""
    if len(sized.levels) == 1:
        return _weighted_sums(sized.levels[0], cells, shares)
    counts = list(sized.counts)
    parts = zip(sized.levels, cells.split(counts), shares.split(counts), strict=True)
    return torch.cat([_weighted_sums(*part) for part in parts])


def _weighted_sums(level: Tensor, cells: Tensor, shares: Tensor) -> Tensor:
    table = level.permute(0, 2, 3, 1).reshape(-1, level.shape[1])
    sums = functional.embedding_bag(cells.view(-1, 4), table, mode="sum", per_sample_weights=shares.view(-1, 4))
    return sums.view(*cells.shape[:2], level.shape[1])


def _cells(sizes: np.ndarray, grids: Any, owners: np.ndarray) -> tuple[Tensor, Tensor]:
    """The four cells around each point of each map, (maps, n, points, 4) int32, and their shares, float32.

    Args:
        sizes: width, height and stride of what each face reads of each map, (3, maps, n, 1) int64.
        grids: as in `bilinear`.
        owners: as in `bilinear`.
    """
    library = array_namespace(grids)
    size, stride = (_of_library(library, part.astype(np.float32)) for part in (sizes[:2], sizes[2]))
    places = library.moveaxis(grids, 3, 0).reshape(2, 1, len(grids), grids.shape[1] * grids.shape[2]) / stride
    places -= 0.5
    # Written over where no gradient wants it: there are few steps, and much memory to go through.
    over = (lambda x: None) if getattr(places, "requires_grad", False) else (lambda x: x)
    first = library.floor(places)
    first = library.clip(first, 0, np.inf, out=over(first))  # NumPy clips at both ends sooner than at one
    first = library.minimum(first, size - 2, out=over(first))
    places -= first
    # Of the two neighbors along an axis a share is 1 less the distance, if that is anything: of places outside the map
    # neither has one.
    next_ = 2 - places
    next_ = library.minimum(places, next_, out=over(next_))
    near = 1 - abs(places)
    near, next_ = (library.clip(each, 0, 1, out=over(each)) for each in (near, next_))
    shares = [column[0] * row[1] for row in (near, next_) for column in (near, next_)]
    before = owners[:, None] * sizes[0] * sizes[1]
    width, before = (_of_library(library, whole.astype(np.int32)) for whole in (sizes[0], before))
    column, row = first.astype(np.int32) if library is np else first.int()
    corner = row * width
    corner += column
    corner += before
    cells = corner, corner + 1, corner + width, corner + (width + 1)
    return _interleaved(cells), _interleaved(shares)


def _of_library(library: Any, values: np.ndarray) -> Any:
    return values if library is np else torch.from_numpy(values)


def _interleaved(columns: Sequence[Any]) -> Tensor:
    """Columns (maps, n, m) side by side, (maps, n, m, columns)."""
    if isinstance(columns[0], Tensor) and columns[0].requires_grad:
        return torch.stack(list(columns), -1)
    known = [np.asarray(each).reshape(-1, columns[0].shape[-1]) for each in columns]
    # OpenCV does with vector instructions what the others do number by number, but not with nothing.
    merged = cv2.merge(known) if known[0].size else np.stack(known, -1)
    return torch.from_numpy(merged.reshape(*columns[0].shape, len(columns)))


def _sizes(maps: Sequence[Levels]) -> np.ndarray:
    """Width, height and stride of what each face reads of each map, (3, maps, n, 1) int64."""
    rows = [
        [row for row, count in zip(_levels_sizes(each), each.counts, strict=True) for _ in range(count)]
        for each in maps
    ]
    return np.array(rows, np.int64).reshape(len(maps), -1, 3).transpose(2, 0, 1)[..., None]


def _levels_sizes(sized: Levels) -> list[tuple[int, int, int]]:
    rows = zip(sized.levels, sized.strides, strict=True)
    return [(level.shape[3], level.shape[2], stride) for level, stride in rows]


def _two_by_two(level: Tensor) -> Tensor:
    """A map with at least two rows and columns, zeros where it had one, so that every cell has a next one."""
    rows, columns = (max(0, 2 - side) for side in level.shape[2:])
    return functional.pad(level, (0, columns, 0, rows)) if rows or columns else level
