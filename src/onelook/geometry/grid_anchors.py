"""Anchors and box coding of the joint grid detector (YOLO-style cells).

A scale of s has s x s cells over the whole image, whatever its size and shape. Lengths are fractions of its two sides.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from onelook.errors import DataError
from onelook.geometry.boxes import CENTER_VARIANCE, SIZE_VARIANCE

ANCHORS_PER_CELL = 3


def initial_anchor_sizes(scales: int) -> Tensor:
    """Return anchor sizes before k-means: squares of 0.6 to 0.05.

    The shape (scales, ANCHORS_PER_CELL, 2) is that of `kmeans_anchor_sizes`.
    """
    sides = torch.linspace(0.6, 0.05, scales * ANCHORS_PER_CELL)
    return sides[:, None].expand(-1, 2).reshape(scales, ANCHORS_PER_CELL, 2).clone()


def kmeans_anchor_sizes(box_fractions: np.ndarray, scales: int, seed: int) -> Tensor:
    """Cluster the training boxes' sizes by k-means with the Euclidean distance.

    Args:
        box_fractions: (n, 2), width and height of each face's box as fractions of the image's.
        scales: number of cell grids that share the clusters.
        seed: of the initial centers.

    Returns:
        (scales, ANCHORS_PER_CELL, 2) float32, the largest first: those of the coarsest cells.

    Raises:
        DataError: there are fewer distinct boxes than clusters.
    """
    count, distinct = scales * ANCHORS_PER_CELL, len(np.unique(box_fractions.round(3), axis=0))
    if distinct < count:
        raise DataError(
            f"the training scenes show faces of {distinct} different sizes, too few for the {count} anchors of "
            "model.grid.scales; prepare more photos"
        )
    from sklearn.cluster import KMeans  # only this function needs it

    centers = KMeans(count, n_init=10, random_state=seed).fit(np.asarray(box_fractions, np.float64)).cluster_centers_
    largest_first = centers[np.argsort(-centers.prod(axis=1), kind="stable")]
    return torch.from_numpy(largest_first.astype(np.float32)).reshape(scales, ANCHORS_PER_CELL, 2)


def make_cell_anchors(height: int, width: int, scales: Sequence[int], sizes: Tensor) -> Tensor:
    """Generate the anchors of an image of `height` x `width` pixels.

    By scale, row, column, then size; anchors are centered in their cells.

    Args:
        height, width: of the image, in pixels.
        scales: cells along each side, per scale.
        sizes: as returned by `kmeans_anchor_sizes`.

    Returns:
        (n, 4) float32: center x, center y, width, height in pixels.
    """
    anchors = []
    for scale, scale_sizes in zip(scales, sizes, strict=True):
        middles = (torch.arange(scale, device=sizes.device) + 0.5) / scale
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        centers = torch.stack([x, y], -1).reshape(-1, 1, 2).expand(-1, ANCHORS_PER_CELL, -1)
        anchors.append(torch.cat([centers, scale_sizes.expand(len(centers), -1, -1)], -1).flatten(0, 1))
    x, y, anchor_width, anchor_height = torch.cat(anchors).unbind(-1)
    return torch.stack([x * width, y * height, anchor_width * width, anchor_height * height], -1)


def cell_to_anchor_offsets(cell_outputs: Tensor, scales: Sequence[int], sizes: Tensor) -> Tensor:
    """Convert YOLOv2 box outputs of cells to SSD offsets from anchors.

    - A cell predicts the box center from its upper left corner, in cells, and the logarithms of the box's sides in
      anchor sides (Redmon and Farhadi, CVPR 2017, section 2).
    - The center is not squashed into the cell: MultiBox matching assigns a large face to neighboring cells, too.
    - `onelook.geometry.boxes.decode_boxes` decodes the result with the anchors of `make_cell_anchors`.

    Args:
        cell_outputs: (..., n, 4): right, down, and the logarithms of width and height.
        scales, sizes: as in `make_cell_anchors`, which has the same n anchors.

    Returns:
        (..., n, 4) offsets.
    """
    cells = torch.cat([cell_outputs.new_full((scale**2 * ANCHORS_PER_CELL, 1), 1 / scale) for scale in scales])
    anchor_sizes = torch.cat([own.repeat(scale**2, 1) for scale, own in zip(scales, sizes, strict=True)])
    from_center = (cell_outputs[..., :2] - 0.5) * cells
    return torch.cat([from_center / (anchor_sizes * CENTER_VARIANCE), cell_outputs[..., 2:] / SIZE_VARIANCE], dim=-1)
