"""Sampling the shared maps under each face with operations that ONNX has, for any number of faces in one go.

The answers are those of `onelook.model.embedding.EmbeddingHead`. There each group of faces of one size reads maps
halved equally often; a graph cannot have as many groups as a photo asks for, so every halved map is made, all of them
lie in one table, and a face's samples are rows of it.
"""

import torch
from torch import Tensor
from torch.nn import functional


def halved_maps(x: Tensor, most: int) -> list[Tensor]:
    """A map (B, c, H, W) and what is left of it after 1 to `most` halvings, as the embedding head halves it."""
    levels = [x]
    for _ in range(most):
        levels.append(functional.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    return levels


def sample_levels(levels: list[Tensor], stride: int, chosen: Tensor, points: Tensor, owners: Tensor) -> Tensor:
    """Bilinear samples, each face's from the level it needs; outside a map all is 0.

    Args:
        levels: of one map, (B, c, H, W), each half as large as the one before it.
        stride: of the first level, in pixels.
        chosen: (n,) float, a whole number, the level that each face asks for; it gets one before it where a map of one
            row or column could not be halved.
        points: (n, p, 2) x and y in pixels.
        owners: (n,) int64, the image each face lies in.

    Returns:
        (n, c, p).
    """
    # (levels, 4): images, channels, height and width of each.
    sizes = torch.stack([torch._shape_as_tensor(level) for level in levels])
    halvable = (sizes[:-1, 2:].amin(1) > 1).long().sum()
    level = torch.minimum(chosen, halvable.float()).long()
    cells = sizes[:, 0] * sizes[:, 2] * sizes[:, 3]
    height, width = sizes[:, 2][level][:, None], sizes[:, 3][level][:, None]
    first = (cells.cumsum(0) - cells)[level][:, None] + owners[:, None] * height * width
    strides = torch.tensor([float(stride * 2**number) for number in range(len(levels))])[level]
    places = points / strides[:, None, None] - 0.5
    lows = places.floor()
    shares = places - lows
    # Compared as floats: OpenCV's reader cannot compare whole numbers.
    right_end, low_end = width.float(), height.float()
    table = torch.cat([each.permute(0, 2, 3, 1).flatten(0, 2) for each in levels])
    sampled: Tensor | None = None
    for down in (0, 1):
        for right in (0, 1):
            x, y = lows[..., 0] + right, lows[..., 1] + down
            inside = (x >= 0) & (x < right_end) & (y >= 0) & (y < low_end)
            weight = _share(shares[..., 0], right) * _share(shares[..., 1], down) * inside
            column, row = x.clamp(min=0).minimum(right_end - 1), y.clamp(min=0).minimum(low_end - 1)
            at = first + row.long() * width + column.long()
            part = functional.embedding(at, table) * weight[..., None]
            sampled = part if sampled is None else sampled + part
    assert sampled is not None
    return sampled.transpose(1, 2)


def _share(share: Tensor, upper: int) -> Tensor:
    return share if upper else 1 - share
