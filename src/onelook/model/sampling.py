"""Bilinear samples of maps at points of the photo, for many faces at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.library import library_of

Array = TypeVar("Array", np.ndarray, Tensor)


class Levels(NamedTuple):
    """A map in several sizes.

    levels: (B, c, H, W), float, of each size. strides: of each, in pixels. chosen: (n,) int64, the one each grid reads.
    """

    levels: Sequence[Tensor]
    strides: Sequence[int]
    chosen: np.ndarray


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
    # Width, height and stride of what each face reads of each map: (3, maps, n, 1).
    sizes = np.stack([_sizes(each)[each.chosen] for each in padded]).transpose(2, 0, 1)[..., None]
    sampled = [_read(each, *read) for each, read in zip(padded, _cells(sizes, grids, owners), strict=True)]
    return [rows.view(*grids.shape[:3], rows.shape[-1]).permute(0, 3, 1, 2) for rows in sampled]


def _read(sized: Levels, cells: Tensor, shares: Tensor) -> Tensor:
    """The samples (n, points, c) of four cells each, (n, points, 4), in their shares; each face's of its own level."""
    shares = shares.to(sized.levels[0].dtype)
    if len(sized.levels) == 1:
        return _weighted_sums(sized.levels[0], cells, shares)
    faces = [torch.from_numpy(np.flatnonzero(sized.chosen == number)) for number in range(len(sized.levels))]
    sampled = [
        _weighted_sums(level, cells.index_select(0, of), shares.index_select(0, of))
        for level, of in zip(sized.levels, faces, strict=True)
    ]
    return torch.cat(sampled).index_select(0, torch.cat(faces).argsort())


def _weighted_sums(level: Tensor, cells: Tensor, shares: Tensor) -> Tensor:
    table = level.permute(0, 2, 3, 1).reshape(-1, level.shape[1])
    sums = functional.embedding_bag(cells.view(-1, 4), table, mode="sum", per_sample_weights=shares.view(-1, 4))
    return sums.view(*cells.shape[:2], level.shape[1])


def _cells(sizes: np.ndarray, grids: Any, owners: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    """For each map the four cells around each point, (n, points, 4) int32, and their shares, float32."""
    library = library_of(grids)
    size, stride = (_of_library(library, part.astype(np.float32)) for part in (sizes[:2], sizes[2]))
    places = library.moveaxis(grids, 3, 0).reshape(2, 1, len(grids), grids.shape[1] * grids.shape[2]) / stride - 0.5
    # Of the two neighbours along an axis a share is 1 less the distance, if that is anything: of places outside the map
    # neither has one.
    first = library.minimum(library.floor(places).clip(0), size - 2)
    distance = places - first
    (across, down), (beyond, below) = (1 - abs(distance)).clip(0), (1 - abs(distance - 1)).clip(0)
    shares = (row * column for row in (down, below) for column in (across, beyond))
    before = owners[:, None] * sizes[0] * sizes[1]
    width, before = (_of_library(library, whole.astype(np.int32)) for whole in (sizes[0], before))
    column, row = (each.astype(np.int32) if library is np else each.int() for each in first)
    corner = row * width + column + before
    cells = corner, corner + 1, corner + width, corner + (width + 1)
    of_maps = (zip(*four, strict=True) for four in (cells, shares))
    return [(_interleaved(cell), _interleaved(share)) for cell, share in zip(*of_maps, strict=True)]


def _of_library(library: Any, values: np.ndarray) -> Any:
    return values if library is np else torch.from_numpy(values)


def _interleaved(columns: Sequence[Any]) -> Tensor:
    """Columns (n, m) side by side, (n, m, columns)."""
    if isinstance(columns[0], Tensor) and columns[0].requires_grad:
        return torch.stack(list(columns), -1)
    known = [np.asarray(each) for each in columns]
    # OpenCV does with vector instructions what the others do number by number, but not with nothing.
    return torch.from_numpy(cv2.merge(known) if known[0].size else np.stack(known, -1))


def _sizes(sized: Levels) -> np.ndarray:
    rows = zip(sized.levels, sized.strides, strict=True)
    return np.array([[level.shape[3], level.shape[2], stride] for level, stride in rows])


def _two_by_two(level: Tensor) -> Tensor:
    """A map with at least two rows and columns, zeros where it had one, so that every cell has a next one."""
    rows, columns = (max(0, 2 - side) for side in level.shape[2:])
    return functional.pad(level, (0, columns, 0, rows)) if rows or columns else level
