"""The geometry of the joint grid detector: cells over the whole photo, anchors from clusters, boxes told by cells.

A scale of s has s x s cells, however large the photo and whatever its shape: lengths are shares of its two sides.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from onelook.errors import DataError
from onelook.geometry.boxes import CENTER_VARIANCE, SIZE_VARIANCE

# Boxes that each cell tells of, one for each anchor.
ANCHORS_PER_CELL = 3


def initial_anchor_sizes(scales: int) -> Tensor:
    """Sizes (scales, PER_CELL, 2) as `kmeans_anchor_sizes` gives them, before any face was seen: squares of .6 to .05."""
    sides = torch.linspace(0.6, 0.05, scales * ANCHORS_PER_CELL)
    return sides[:, None].expand(-1, 2).reshape(scales, ANCHORS_PER_CELL, 2).clone()


def kmeans_anchor_sizes(shares: np.ndarray, scales: int, seed: int) -> Tensor:
    """The sizes of anchors that training faces have: k-means, by Euclidean distance, of so many faces' boxes.

    Args:
        shares: (n, 2), width and height of each face's box as shares of the photo's.
        scales: how many matrices of cells share the clusters.
        seed: of the first centers.

    Returns:
        (scales, PER_CELL, 2) float32, the largest first: those of the coarsest cells.

    Raises:
        DataError: there are fewer different boxes than clusters.
    """
    count, different = scales * ANCHORS_PER_CELL, len(np.unique(shares.round(3), axis=0))
    if different < count:
        raise DataError(
            f"the training scenes show faces of {different} different sizes, too few for the {count} anchors of "
            "model.grid.scales; prepare more photos"
        )
    centers = KMeans(count, n_init=10, random_state=seed).fit(np.asarray(shares, np.float64)).cluster_centers_
    largest_first = centers[np.argsort(-centers.prod(axis=1), kind="stable")]
    return torch.from_numpy(largest_first.astype(np.float32)).reshape(scales, ANCHORS_PER_CELL, 2)


def cell_anchors(height: int, width: int, scales: Sequence[int], sizes: Tensor) -> Tensor:
    """Anchors (n, 4; center x, center y, width, height; float32) in pixels of a photo of `height` x `width` pixels.

    Scale by scale, row by row, column by column, size by size; centers lie mid-cell. `sizes` are those of
    `kmeans_anchor_sizes`.
    """
    anchors = []
    for scale, own in zip(scales, sizes, strict=True):
        middles = (torch.arange(scale, device=sizes.device) + 0.5) / scale
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        centers = torch.stack([x, y], -1).reshape(-1, 1, 2).expand(-1, ANCHORS_PER_CELL, -1)
        anchors.append(torch.cat([centers, own.expand(len(centers), -1, -1)], -1).flatten(0, 1))
    return torch.cat(anchors) * torch.tensor([width, height] * 2, device=sizes.device)


def box_offsets(told: Tensor, scales: Sequence[int], sizes: Tensor) -> Tensor:
    """What cells tell of boxes, as the offsets from `cell_anchors` that `onelook.geometry.boxes` decodes.

    A cell tells where a box's center lies from the cell's upper left corner, in cells, and of which power of e the
    box's sides are the multiples of its anchor's (the coding of YOLOv2, Redmon and Farhadi, CVPR 2017, section 2).
    The place is not squeezed into the cell: in MultiBox matching its neighbors may answer for a large face too.

    Args:
        told: (..., n, 4): right, down, and the exponents of width and height.
        scales, sizes: as in `cell_anchors`, whose n anchors these are.

    Returns:
        (..., n, 4) offsets.
    """
    cells = torch.cat([told.new_full((scale**2 * ANCHORS_PER_CELL, 1), 1 / scale) for scale in scales])
    own = torch.cat([own.repeat(scale**2, 1) for scale, own in zip(scales, sizes, strict=True)])
    from_the_middle = (told[..., :2] - 0.5) * cells
    return torch.cat([from_the_middle / (own * CENTER_VARIANCE), told[..., 2:] / SIZE_VARIANCE], dim=-1)
