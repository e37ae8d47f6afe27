"""The embedding head: faces sampled out of the shared maps, by default turned upright, then a small tail.

The maps of several strides are projected to the same channels and summed. A 1x1 projection and bilinear sampling
commute, so each map is sampled at its own resolution, and only the samples are projected: no enlarged fused map is ever
made. The finest map is sampled twice as densely as the others and projected 2x2 samples at a time: at one sample per
cell of the grid most of it would be skipped.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.sampling_grid import center_grid, roi_grid, warp_grid
from onelook.model.feature_sampling import Levels, bilinear
from onelook.model.layers import ConvNorm, InvertedResidual
from onelook.settings import EmbeddingSettings

# Beyond this many halvings a face fills any photo the detector is shown.
_MOST_HALVINGS = 5
# Samples of the finest map along each side of a cell of the grid.
_DENSER = 2
# Embeddings shorter than this, which none is, stay shorter than 1.
_SHORTEST = 1e-12
# Faces for whose points NumPy is the faster.
_FEW = 8
_GRIDS = {"warp": warp_grid, "roi": roi_grid, "center": center_grid}


class FactoredConv1x1(nn.Conv2d):
    """A 1x1 convolution of all maps' samples side by side, which are never put side by side.

    Args:
        inputs: channels of the maps, the finest first, of which it takes 2x2 samples at a time.
        outputs: channels it puts out.
    """

    def __init__(self, inputs: Sequence[int], outputs: int) -> None:
        super().__init__(inputs[0] * _DENSER**2 + sum(inputs[1:]), outputs, 1, bias=False)
        self.parts = tuple(inputs)

    def split(self) -> tuple[Tensor, list[Tensor]]:
        """The finest map's kernel (outputs, c, 2, 2), and the other maps' matrices (c, outputs)."""
        finest, *others = self.weight.split([self.parts[0] * _DENSER**2, *self.parts[1:]], 1)
        return finest.reshape(-1, self.parts[0], _DENSER, _DENSER), [other.flatten(1).T for other in others]

    def kernels(self) -> list[Tensor]:
        """For the samples of each map (outputs, c, 1, 1), of the finest for the channels of 2x2 samples one by one."""
        kernel, matrices = self.split()
        flat = [kernel.permute(0, 2, 3, 1).flatten(1), *(matrix.T for matrix in matrices)]
        return [each[..., None, None] for each in flat]

    def forward(self, parts: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Samples (n, c, s, s) of each map, of the finest (n, 4 c, s, s) as in `kernels` -> (n, outputs, s, s)."""
        first, *others = self.kernels()
        x = functional.conv2d(parts[0], first, self.bias).permute(0, 2, 3, 1)
        rows = x.flatten(0, 2)
        for part, kernel in zip(parts[1:], others, strict=True):
            rows.addmm_(part.permute(0, 2, 3, 1).flatten(0, 2), kernel.flatten(1).T)
        return rows.view(x.shape).permute(0, 3, 1, 2)


class AvgPool(nn.Module):
    """Means of squares of cells, or of what is there of them where a row or column ends."""

    def forward(self, x: Tensor, times: int) -> Tensor:
        """(B, c, H, W) and the side of a square in cells -> (B, c, ceil(H / times), ceil(W / times))."""
        if any(side % times for side in x.shape[-2:]):
            return functional.avg_pool2d(x, times, ceil_mode=True)
        return self.whole(x, times)

    def whole(self, x: Tensor, times: int) -> Tensor:
        """Where no square is cut off."""
        # As a depthwise convolution it is faster, with the channels innermost.
        channels = x.shape[1]
        kernel = x.new_full((channels, 1, times, times), 1 / times**2)
        return functional.conv2d(x, kernel, stride=times, groups=channels)


class EmbeddingHead(nn.Module):
    """Five-point similarity warp of the fused map, then the second half of MobileFaceNet (Chen et al. 2018, table 1).

    In place of the warp there can be an upright square (`sampling: roi`), or the features of one point (`center`).
    These are spread over the grid as they are: the tail is then a small network on a vector.

    That half is inverted residuals at a half and a quarter of the sampled grid, a widening 1x1 convolution, a global
    depthwise convolution and a linear projection; its widths are settings.

    Args:
        widths: channels of the shared maps by their strides in pixels, fine to coarse.
        settings: which of the maps are sampled and how; widths and depths of the tail.
    """

    def __init__(self, widths: Mapping[int, int], settings: EmbeddingSettings) -> None:
        super().__init__()
        self.places = [place for place, stride in enumerate(widths) if stride in settings.strides]
        self.strides = settings.strides
        self.grid = _GRIDS[settings.sampling]
        self.samples = settings.grid_size
        self.sampled = 1 if settings.sampling == "center" else settings.grid_size
        self.extent = settings.extent
        self.shrink = AvgPool()
        self.fuse = nn.Sequential(
            FactoredConv1x1([widths[stride] for stride in self.strides], settings.channels),
            nn.BatchNorm2d(settings.channels),
            nn.PReLU(settings.channels),
        )
        self.tail = _tail(settings)
        self.widen = nn.Sequential(
            ConvNorm(settings.widths[1], settings.gdc_channels, kernel=1, leak=None), nn.ReLU6(inplace=True)
        )
        # Each cell of the last map has a weight of its own: the middle of a face says more than its rim.
        self.gather = nn.Sequential(
            nn.Conv2d(
                settings.gdc_channels,
                settings.gdc_channels,
                ceil(settings.grid_size / 4),
                groups=settings.gdc_channels,
                bias=False,
            ),
            nn.BatchNorm2d(settings.gdc_channels),
        )
        self.out = nn.Sequential(
            nn.Conv2d(settings.gdc_channels, settings.dim, 1, bias=False), nn.BatchNorm2d(settings.dim)
        )

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces.

        Args:
            maps: shared maps (B, c, H / stride, W / stride), fine to coarse.
            landmarks: for each of the B images (n_i, 5, 2) in pixels.

        Returns:
            (sum of n_i, size) L2-normalized, image by image.
        """
        samples, order = self.sample(maps, landmarks)
        x = self.fuse(samples)
        x = x.expand(-1, -1, self.samples, self.samples)
        x = self.out(self.gather(self.widen(self.tail(x))))
        rows = x.flatten(1)
        rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(_SHORTEST)
        return rows.index_select(0, torch.from_numpy(np.argsort(order)))

    def sample(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> tuple[list[Tensor], np.ndarray]:
        """Maps under each face's grid, small faces before large ones.

        Of all shared `maps` those are sampled that the settings name. Channels are innermost in memory; outside an
        image there are zeros.

        Returns:
            For each map (sum of n_i, c, samples, samples), of the finest one the channels of 2x2 samples, one after
            the other; and which face each row is of, (sum of n_i,) int64.
        """
        points: Any = torch.cat(list(landmarks))
        # What follows is dozens of small steps. NumPy begins each sooner, torch shares larger ones between threads and
        # tells gradients, where training moves the points.
        if len(points) <= _FEW and not points.requires_grad:
            points = points.numpy()
        owners = np.repeat(np.arange(len(landmarks)), [len(each) for each in landmarks])
        halvings = self._halvings(points)
        # Faces that read the same size of a map side by side are read at once.
        order = np.argsort(halvings, kind="stable")
        points, owners = points[order], owners[order]
        dense = self.grid(points, _DENSER * self.sampled, self.extent, _DENSER)
        counts = np.bincount(halvings)
        each = np.flatnonzero(counts)
        # The other maps are sampled half as densely as the finest, so they may stay twice as fine.
        finest, *others = (
            self._levels(
                maps[place],
                stride,
                [self.strides[0] * 2**n * (_DENSER if i else 1) for n in each.tolist()],
                counts[each].tolist(),
            )
            for i, (place, stride) in enumerate(zip(self.places, self.strides, strict=True))
        )
        samples = bilinear([finest], dense, owners)
        # Four samples that lie together in memory are one sample with four times the channels.
        channels = _DENSER**2 * samples[0].shape[1]
        rows = samples[0].permute(0, 2, 3, 1).reshape(len(points), self.sampled, self.sampled, channels)
        samples = [rows.permute(0, 3, 1, 2)]
        if others:
            samples += bilinear(others, self.grid(points, self.sampled, self.extent), owners)
        return samples, order

    def _halvings(self, points: Any) -> np.ndarray:
        """How often the finest map should be halved for each face, (n,) int64, given its points (n, 5, 2).

        A large face is sampled more coarsely than that map: halved maps keep it from aliasing. The samples of a single
        point have no spacing, so the maps stay as they are.
        """
        known = points if isinstance(points, np.ndarray) else points.detach().numpy()
        # Of two samples along a side, which are half a side apart.
        two = self.grid(known, 2, self.extent)[:, 0]
        spacing = np.linalg.norm(two[:, 1] - two[:, 0], axis=-1) * 2 / (_DENSER * self.sampled)
        return np.log2(np.maximum(spacing / self.strides[0], 1)).round().clip(0, _MOST_HALVINGS).astype(np.int64)

    def _levels(self, x: Tensor, stride: int, coarsest: Sequence[int], counts: Sequence[int]) -> Levels:
        """A map (B, c, H, W) averaged down to each of those strides, ascending, as far as its size allows.

        `counts` says how many faces ask for each.
        """
        levels, strides, readers = [x], [stride], [0]
        for wanted, count in zip(coarsest, counts, strict=True):
            while stride < wanted and min(x.shape[-2:]) > 1:
                # Halved twice at once where that is the same: the first time is the dear one.
                times = 4 if 4 * stride <= wanted and not any(side % 4 for side in x.shape[-2:]) else 2
                x, stride = self.shrink(x, times), stride * times
            if stride > strides[-1]:
                levels.append(x)
                strides.append(stride)
                readers.append(0)
            readers[-1] += count
        unread = len(levels) > 1 and not readers[0]
        return Levels(levels[unread:], strides[unread:], readers[unread:])


def _tail(settings: EmbeddingSettings) -> nn.Sequential:
    """(n, channels, samples, samples) -> (n, widths[1], samples / 4, samples / 4)."""
    blocks: list[nn.Module] = []
    inputs = settings.channels
    for width, depth in zip(settings.widths, settings.depths, strict=True):
        blocks.append(InvertedResidual(inputs, width, stride=2))
        blocks.extend(InvertedResidual(width, width) for _ in range(depth))
        inputs = width
    return nn.Sequential(*blocks)
