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

from onelook.geometry.face_grids import centre_grid, sampling_grid, upright_grid
from onelook.model.layers import ConvNorm, InvertedResidual
from onelook.model.sampling import Levels, bilinear
from onelook.settings import Embedding

# Beyond this many halvings a face fills any photo the detector is shown.
_MOST_HALVINGS = 5
# Samples of the finest map along each side of a cell of the grid.
_DENSER = 2
# Faces for whose points NumPy is the faster.
_FEW = 8
_GRIDS = {"warp": sampling_grid, "roi": upright_grid, "centre": centre_grid}


class SplitProjection(nn.Conv2d):
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

    def forward(self, parts: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Samples (n, c, s, s) of each map, of the finest (n, c, 2 s, 2 s) -> (n, outputs, s, s)."""
        kernel, matrices = self.split()
        return add_projected(functional.conv2d(parts[0], kernel, self.bias, stride=_DENSER), parts[1:], matrices)


def add_projected(x: Tensor, parts: Sequence[Tensor], matrices: Sequence[Tensor]) -> Tensor:
    """x (n, outputs, s, s) and parts (n, c, s, s) times matrices (c, outputs), all summed."""
    x = x.permute(0, 2, 3, 1)
    rows = x.flatten(0, 2)
    for part, matrix in zip(parts, matrices, strict=True):
        rows.addmm_(part.permute(0, 2, 3, 1).flatten(0, 2), matrix)
    return rows.view(x.shape).permute(0, 3, 1, 2)


class EmbeddingHead(nn.Module):
    """Five-point similarity warp of the fused map, then the second half of MobileFaceNet (Chen et al. 2018, table 1).

    In place of the warp there can be an upright square (`sampling: roi`), or the features of one point (`centre`).
    These are spread over the grid as they are: the tail is then a small network on a vector.

    That half is inverted residuals at a half and a quarter of the sampled grid, a widening 1x1 convolution, a global
    depthwise convolution and a linear projection; its widths are settings.

    Args:
        widths: channels of the shared maps by their strides in pixels, fine to coarse.
        settings: which of the maps are sampled and how; widths and depths of the tail.
    """

    def __init__(self, widths: Mapping[int, int], settings: Embedding) -> None:
        super().__init__()
        self.places = [place for place, stride in enumerate(widths) if stride in settings.strides]
        self.strides = settings.strides
        self.grid = _GRIDS[settings.sampling]
        self.samples = settings.grid
        self.sampled = 1 if settings.sampling == "centre" else settings.grid
        self.extent = settings.extent
        self.fuse = nn.Sequential(
            SplitProjection([widths[stride] for stride in self.strides], settings.channels),
            nn.BatchNorm2d(settings.channels),
            nn.PReLU(settings.channels),
        )
        self.tail = _tail(settings)
        self.widen = nn.Sequential(
            ConvNorm(settings.widths[1], settings.gather, kernel=1, leak=None), nn.ReLU6(inplace=True)
        )
        # Each cell of the last map has a weight of its own: the middle of a face says more than its rim.
        self.gather = nn.Sequential(
            nn.Conv2d(settings.gather, settings.gather, ceil(settings.grid / 4), groups=settings.gather, bias=False),
            nn.BatchNorm2d(settings.gather),
        )
        self.out = nn.Sequential(
            nn.Conv2d(settings.gather, settings.size, 1, bias=False), nn.BatchNorm2d(settings.size)
        )

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces.

        Args:
            maps: shared maps (B, c, H / stride, W / stride), fine to coarse.
            landmarks: for each of the B images (n_i, 5, 2) in pixels.

        Returns:
            (sum of n_i, size) L2-normalised, image by image.
        """
        x = self.fuse(self.sample(maps, landmarks))
        x = x.expand(-1, -1, self.samples, self.samples)
        x = self.out(self.gather(self.widen(self.tail(x))))
        return functional.normalize(x.flatten(1))

    def sample(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> list[Tensor]:
        """Maps under each face's grid: (sum of n_i, c, samples, samples), of the finest one twice as many either way.

        Of all shared `maps` those are sampled that the settings name. Channels are innermost in memory; outside an
        image there are zeros.
        """
        points: Any = torch.cat(list(landmarks))
        # What follows is dozens of small steps. NumPy begins each sooner, torch shares larger ones between threads and
        # tells gradients, where training moves the points.
        if len(points) <= _FEW and not points.requires_grad:
            points = points.numpy()
        owners = np.repeat(np.arange(len(landmarks)), [len(each) for each in landmarks])
        dense = self.grid(points, _DENSER * self.sampled, self.extent)
        plain = self.grid(points, self.sampled, self.extent)
        # A large face is sampled more coarsely than the finest map: halved maps keep it from aliasing. The samples of
        # a single point have no spacing, so the maps stay as they are.
        apart = dense[:, 0, 1] - dense[:, 0, 0]
        spacing = np.linalg.norm(apart if isinstance(apart, np.ndarray) else apart.detach().numpy(), axis=-1)
        halvings = np.log2(np.maximum(spacing / self.strides[0], 1)).round().clip(0, _MOST_HALVINGS)
        each, of_face = np.unique(halvings, return_inverse=True)
        # The other maps are sampled half as densely as the finest, so they may stay twice as fine.
        finest, *others = (
            _halved(maps[place], stride, [self.strides[0] * 2 ** int(n) * (_DENSER if i else 1) for n in each], of_face)
            for i, (place, stride) in enumerate(zip(self.places, self.strides, strict=True))
        )
        return [*bilinear([finest], dense, owners), *(bilinear(others, plain, owners) if others else [])]


def _halved(x: Tensor, stride: int, coarsest: Sequence[int], of_face: np.ndarray) -> Levels:
    """Maps (B, c, H, W) averaged down to strides, ascending, as far as their size allows.

    The levels are those that are needed; `of_face` (n,) int64 says which of the strides each face asks for.
    """
    levels: list[Tensor] = []
    strides: list[int] = []
    used: list[int] = []
    for wanted in coarsest or [stride]:
        before = stride
        while stride < wanted and min(x.shape[-2:]) > 1:
            # Halved twice at once where that is the same: the first time is the dear one.
            times = 4 if 4 * stride <= wanted and not any(side % 4 for side in x.shape[-2:]) else 2
            x, stride = _shrunk(x, times), stride * times
        if not levels or stride > before:
            levels.append(x)
            strides.append(stride)
        used.append(len(levels) - 1)
    return Levels(levels, strides, np.array(used)[of_face])


def _shrunk(x: Tensor, times: int) -> Tensor:
    """Means of squares of cells, or of what is there of them where a row or column ends."""
    if any(side % times for side in x.shape[-2:]):
        return functional.avg_pool2d(x, times, ceil_mode=True)
    # As a depthwise convolution it is faster, with the channels innermost.
    channels = x.shape[1]
    kernel = x.new_full((channels, 1, times, times), 1 / times**2)
    return functional.conv2d(x, kernel, stride=times, groups=channels)


def _tail(settings: Embedding) -> nn.Sequential:
    """(n, channels, samples, samples) -> (n, widths[1], samples / 4, samples / 4)."""
    blocks: list[nn.Module] = []
    inputs = settings.channels
    for width, depth in zip(settings.widths, settings.depths, strict=True):
        blocks.append(InvertedResidual(inputs, width, stride=2))
        blocks.extend(InvertedResidual(width, width) for _ in range(depth))
        inputs = width
    return nn.Sequential(*blocks)
