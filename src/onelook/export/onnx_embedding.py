"""The embedding head as an exporter can follow it."""

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.alignment import TEMPLATE
from onelook.geometry.sampling_grid import roi_grid
from onelook.model.embedding_head import EmbeddingHead


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


class FaceGrid(nn.Module):
    """Points (n, samples * samples, 2; x and y in pixels, row by row) of faces given by landmarks (n, 5, 2).

    A least-squares similarity from a fixed template is linear in the points it leads to (and so is their mean), so the
    grid is a matrix, made once in double precision. The upright square's side is no linear function of the points: its
    grid is one for the template, moved and scaled.
    """

    def __init__(self, head: EmbeddingHead, samples: int) -> None:
        super().__init__()
        self.matrix: Tensor
        self.upright: Tensor | None
        self.side: Tensor
        self.samples = samples**2
        template = torch.from_numpy(TEMPLATE).double()
        linear = upright = None
        if head.grid is roi_grid:
            upright = (roi_grid(template[None], samples, head.extent) - template.mean(0)).reshape(-1, 2).float()
        else:
            linear = head.grid(torch.eye(10).double().reshape(10, 5, 2), samples, head.extent).flatten(1).float()
        self.register_buffer("matrix", linear)
        self.register_buffer("upright", upright)
        self.register_buffer("side", _longer_side(template).float())

    def forward(self, landmarks: Tensor) -> Tensor:
        if self.upright is None:
            return (landmarks.flatten(1) @ self.matrix).reshape(-1, self.samples, 2)
        scale = _longer_side(landmarks) / self.side
        return self.upright * scale[:, None, None] + landmarks.mean(1, keepdim=True)


def _longer_side(points: Tensor) -> Tensor:
    return (points.amax(-2) - points.amin(-2)).amax(-1)


# As the head has them: the finest map's samples along each side of a cell, and the most halvings.
_DENSER = 2
_MOST_HALVINGS = 5


class FaceEmbedding(nn.Module):
    """Embeddings (n, size), of length 1, of faces in shared maps, with the weights of a head."""

    def __init__(self, head: EmbeddingHead) -> None:
        super().__init__()
        self.head = head
        self.dense = FaceGrid(head, _DENSER * head.sampled)
        self.plain = FaceGrid(head, head.sampled)

    def forward(self, maps: list[Tensor], landmarks: Tensor, owners: Tensor) -> Tensor:
        """Embed faces.

        Args:
            maps: shared maps (B, c, H / stride, W / stride), fine to coarse.
            landmarks: (n, 5, 2) in pixels.
            owners: (n,) int64, the image each face lies in.
        """
        head = self.head
        x = head.fuse[1:](self._fused(maps, landmarks, owners)).expand(-1, -1, head.samples, head.samples)
        return functional.normalize(head.out(head.gather(head.widen(head.tail(x)))).flatten(1))

    def _fused(self, maps: list[Tensor], landmarks: Tensor, owners: Tensor) -> Tensor:
        """The samples of all maps projected and summed: (n, channels, sampled, sampled)."""
        head, projection = self.head, self.head.fuse[0]
        assert isinstance(projection, nn.Conv2d)
        dense, plain = self.dense(landmarks), self.plain(landmarks)
        step = dense[:, 1] - dense[:, 0]
        spacing = step.square().sum(-1).sqrt()
        halvings = torch.log2(spacing / head.strides[0]).round().clamp(0, _MOST_HALVINGS)
        finest, *others = (maps[place] for place in head.places)
        side, channels = _DENSER * head.sampled, int(finest.shape[1])
        samples = sample_levels(halved_maps(finest, _MOST_HALVINGS), head.strides[0], halvings, dense, owners)
        start = channels * _DENSER**2
        kernel = projection.weight[:, :start].reshape(-1, channels, _DENSER, _DENSER)
        x = functional.conv2d(samples.reshape(-1, channels, side, side), kernel, projection.bias, stride=_DENSER)
        for each, stride in zip(others, head.strides[1:], strict=True):
            # The other maps are sampled half as densely, so they may stay twice as fine.
            later = int(log2(stride / head.strides[0])) - 1
            levels = halved_maps(each, _MOST_HALVINGS - later)
            samples = sample_levels(levels, stride, (halvings - later).clamp(min=0), plain, owners)
            channels = int(each.shape[1])
            kernel = projection.weight[:, start : start + channels]
            x = x + functional.conv2d(samples.reshape(-1, channels, head.sampled, head.sampled), kernel)
            start += channels
        return x
