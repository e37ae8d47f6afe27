"""The embedding head in operations that can be traced to ONNX."""

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.geometry.sampling_grid import roi_grid
from onelook.model.embedding_head import EmbeddingHead, FactoredConv1x1
from onelook.model.feature_sampler import MAX_POOLINGS, FeatureSampler


class OnnxEmbeddingHead(nn.Module):
    """Embeddings (n, d), L2-normalized, of faces in the shared maps, with the weights of a head."""

    def __init__(self, head: EmbeddingHead) -> None:
        super().__init__()
        self.head = head
        self.dense_grid = LinearWarpGrid(head.sampler, head.sampler.density * head.sampler.samples)
        self.grid = LinearWarpGrid(head.sampler, head.sampler.samples)

    def forward(self, maps: list[Tensor], landmarks: Tensor, owners: Tensor) -> Tensor:
        """Embed faces.

        Args:
            maps: shared maps (B, c, H / stride, W / stride), fine to coarse.
            landmarks: (n, 5, 2) in pixels.
            owners: (n,) int64, the index of each face's image.
        """
        head = self.head
        x = head.fusion[1:](self._project_samples(maps, landmarks, owners))
        x = x.expand(-1, -1, head.grid_size, head.grid_size)
        return functional.normalize(head.projection(head.gdc(head.expand(head.tail(x)))).flatten(1))

    def _project_samples(self, maps: list[Tensor], landmarks: Tensor, owners: Tensor) -> Tensor:
        """Sample all maps, project the samples and sum them: (n, channels, samples, samples)."""
        sampler, projection = self.head.sampler, self.head.fusion[0]
        assert isinstance(projection, FactoredConv1x1)
        dense_points, points = self.dense_grid(landmarks), self.grid(landmarks)
        step = dense_points[:, 1] - dense_points[:, 0]
        spacing = step.square().sum(-1).sqrt()
        poolings = torch.log2(spacing / sampler.strides[0]).round().clamp(0, MAX_POOLINGS)
        finest, *others = (maps[index] for index in self.head.map_indices)
        density = sampler.density
        side, channels = density * sampler.samples, int(finest.shape[1])
        levels = average_pyramid(finest, MAX_POOLINGS)
        samples = sample_pyramid(levels, sampler.strides[0], poolings, dense_points, owners)
        start = channels * density**2
        kernel = projection.weight[:, :start].reshape(-1, channels, density, density) * projection.finest_scale
        x = functional.conv2d(samples.reshape(-1, channels, side, side), kernel, projection.bias, stride=density)
        for each, stride in zip(others, sampler.strides[1:], strict=True):
            # The other maps are coarser and sampled less densely, so they are pooled less often.
            fewer = int(log2(stride / sampler.strides[0])) - int(log2(density))
            levels = average_pyramid(each, MAX_POOLINGS - fewer)
            samples = sample_pyramid(levels, stride, (poolings - fewer).clamp(min=0), points, owners)
            channels = int(each.shape[1])
            kernel = projection.weight[:, start : start + channels]
            x = x + functional.conv2d(samples.reshape(-1, channels, sampler.samples, sampler.samples), kernel)
            start += channels
        return x


class LinearWarpGrid(nn.Module):
    """Sampling grid of faces by a constant matrix: landmarks (n, 5, 2) -> points (n, samples * samples, 2).

    Points are x and y in pixels, row by row. The least-squares similarity from a fixed template is linear in the
    landmarks, and so is their mean: one matrix, computed in float64, gives the center of the `warp` and `center` grids
    and their steps along a row and a column. The side of the `roi` grid is not linear in the landmarks: it is the grid
    of the template, moved and scaled.
    """

    def __init__(self, sampler: FeatureSampler, samples: int) -> None:
        super().__init__()
        self.matrix: Tensor
        self.upright: Tensor | None
        self.side: Tensor
        self.offsets: Tensor  # from the center of the grid, in steps
        template = torch.from_numpy(REFERENCE_LANDMARKS).double()
        linear = upright = None
        if sampler.grid is roi_grid:
            upright = (roi_grid(template[None], samples, sampler.extent) - template.mean(0)).reshape(-1, 2).float()
        else:
            grid = sampler.grid(torch.eye(10).double().reshape(10, 5, 2), samples, sampler.extent)
            first = grid[:, 0, 0]
            steps = [(last - first) / max(1, samples - 1) for last in (grid[:, 0, -1], grid[:, -1, 0])]
            linear = torch.cat([(first + grid[:, -1, -1]) / 2, *steps], 1).float()
        self.register_buffer("matrix", linear)
        self.register_buffer("offsets", torch.arange(samples).float()[:, None] - (samples - 1) / 2)
        self.register_buffer("upright", upright)
        self.register_buffer("side", _longer_side(template).float())

    def forward(self, landmarks: Tensor) -> Tensor:
        if self.upright is None:
            center, across, down = (landmarks.flatten(1) @ self.matrix).reshape(-1, 3, 1, 1, 2).unbind(1)
            return (center + self.offsets * across + self.offsets[:, None] * down).flatten(1, 2)
        scale = _longer_side(landmarks) / self.side
        return self.upright * scale[:, None, None] + landmarks.mean(1, keepdim=True)


def _longer_side(points: Tensor) -> Tensor:
    return (points.amax(-2) - points.amin(-2)).amax(-1)


def average_pyramid(x: Tensor, poolings: int) -> list[Tensor]:
    """Return a map (B, c, H, W) and its results of 1 to `poolings` average poolings."""
    levels = [x]
    for _ in range(poolings):
        levels.append(functional.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    return levels


def sample_pyramid(levels: list[Tensor], stride: int, chosen: Tensor, points: Tensor, owners: Tensor) -> Tensor:
    """Sample maps bilinearly, each face from its own pyramid level, with zeros outside the map.

    Args:
        levels: (B, c, H, W) each, every level half the size of the one before it.
        stride: of the first level, in pixels.
        chosen: (n,) float holding integers, the level of each face; limited to the levels that exist, as a map of
            one row or column is not pooled.
        points: (n, p, 2) x and y in pixels.
        owners: (n,) int64, the index of each face's image.

    Returns:
        (n, c, p).
    """
    # (levels, 4): B, c, H and W of each.
    shapes = torch.stack([torch._shape_as_tensor(level) for level in levels])
    halvable = (shapes[:-1, 2:].amin(1) > 1).long().sum()
    level = torch.minimum(chosen, halvable.float()).long()
    cells = shapes[:, 0] * shapes[:, 2] * shapes[:, 3]
    height, width = shapes[:, 2][level][:, None], shapes[:, 3][level][:, None]
    first = (cells.cumsum(0) - cells)[level][:, None] + owners[:, None] * height * width
    strides = torch.tensor([float(stride * 2**number) for number in range(len(levels))])[level]
    coordinates = points / strides[:, None, None] - 0.5
    low = coordinates.floor()
    fractions = coordinates - low
    # Compared as floats: OpenCV's ONNX reader cannot compare integers.
    x_end, y_end = width.float(), height.float()
    table = torch.cat([each.permute(0, 2, 3, 1).flatten(0, 2) for each in levels])
    sampled: Tensor | None = None
    for down in (0, 1):
        for right in (0, 1):
            x, y = low[..., 0] + right, low[..., 1] + down
            inside = (x >= 0) & (x < x_end) & (y >= 0) & (y < y_end)
            weight = _weight(fractions[..., 0], right) * _weight(fractions[..., 1], down) * inside
            column, row = x.clamp(min=0).minimum(x_end - 1), y.clamp(min=0).minimum(y_end - 1)
            index = first + row.long() * width + column.long()
            part = functional.embedding(index, table) * weight[..., None]
            sampled = part if sampled is None else sampled + part
    assert sampled is not None
    return sampled.transpose(1, 2)


def _weight(fraction: Tensor, upper: int) -> Tensor:
    return fraction if upper else 1 - fraction
