"""The embedding head: faces sampled out of the shared maps, by default turned upright, then a small tail.

The maps of several strides are projected to the same channels and summed. A 1x1 projection and bilinear sampling
commute, so each map is sampled at its own resolution, and only the samples are projected: no enlarged fused map is ever
made. The finest map is sampled twice as densely as the others and projected 2x2 samples at a time: at one sample per
cell of the grid most of it would be skipped.
"""

from collections.abc import Mapping, Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.face_grids import centre_grid, sampling_grid, upright_grid
from onelook.model.layers import ConvNorm, InvertedResidual
from onelook.model.sampling import bilinear
from onelook.settings import Embedding

# Beyond this many halvings a face fills any photo the detector is shown.
_MOST_HALVINGS = 5
# Samples of the finest map along each side of a cell of the grid.
_DENSER = 2
_GRIDS = {"warp": sampling_grid, "roi": upright_grid, "centre": centre_grid}


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
        inputs = [widths[stride] for stride in self.strides]
        self.fuse = nn.Sequential(
            nn.Conv2d(inputs[0] * _DENSER**2 + sum(inputs[1:]), settings.channels, 1, bias=False),
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
        x = self.fuse[1:](self._project(self.sample(maps, landmarks)))
        x = x.expand(-1, -1, self.samples, self.samples)
        x = self.out(self.gather(self.widen(self.tail(x))))
        return functional.normalize(x.flatten(1))

    def sample(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> list[Tensor]:
        """Maps under each face's grid: (sum of n_i, c, samples, samples), of the finest one twice as many either way.

        Of all shared `maps` those are sampled that the settings name. Channels are innermost in memory; outside an
        image there are zeros.
        """
        maps = [maps[place] for place in self.places]
        points = torch.cat(list(landmarks))
        counts = torch.tensor([len(each) for each in landmarks], device=points.device)
        owners = torch.arange(len(landmarks), device=points.device).repeat_interleave(counts)
        dense = self.grid(points, _DENSER * self.sampled, self.extent)
        grids = [dense, *[self.grid(points, self.sampled, self.extent)] * (len(maps) - 1)]
        # A large face is sampled more coarsely than the finest map: halved maps keep it from aliasing. The samples of
        # a single point have no spacing, so the maps stay as they are.
        spacing = (dense[:, 0, 1] - dense[:, 0, 0]).norm(dim=-1)
        halvings = torch.log2(spacing / self.strides[0]).round().clamp(0, _MOST_HALVINGS)
        each = halvings.unique().tolist()
        if len(each) < 2:
            return self._sample_alike(maps, grids, owners, int(each[0]) if each else 0)
        chosen = [(halvings == halving).nonzero()[:, 0] for halving in each]
        parts = [
            self._sample_alike(maps, [grid[rows] for grid in grids], owners[rows], int(halving))
            for halving, rows in zip(each, chosen, strict=True)
        ]
        order = torch.cat(chosen).argsort()
        return [torch.cat(of_map)[order] for of_map in zip(*parts, strict=True)]

    def _sample_alike(
        self, maps: Sequence[Tensor], grids: Sequence[Tensor], owners: Tensor, halving: int
    ) -> list[Tensor]:
        """`sample` for faces for which the finest map is halved equally often, `owners` (n,) ascending."""
        images, places = owners.unique_consecutive(return_inverse=True)
        parts = []
        for i, (x, stride, grid) in enumerate(zip(maps, self.strides, grids, strict=True)):
            # The other maps are sampled half as densely as the finest, so they may stay twice as fine.
            coarsest = self.strides[0] * 2**halving * (_DENSER if i else 1)
            x, reached = _halved(x if len(images) == len(x) else x[images], stride, coarsest)
            parts.append(bilinear(x, reached, grid, places))
        return parts

    def _project(self, parts: Sequence[Tensor]) -> Tensor:
        """All samples projected to the fused map's channels and summed: one convolution, without joining its input."""
        projection = self.fuse[0]
        assert isinstance(projection, nn.Conv2d)
        finest, *others = projection.weight.split([parts[0].shape[1] * _DENSER**2, *(x.shape[1] for x in parts[1:])], 1)
        kernel = finest.reshape(-1, parts[0].shape[1], _DENSER, _DENSER)
        x = functional.conv2d(parts[0], kernel, projection.bias, stride=_DENSER).permute(0, 2, 3, 1)
        rows = x.flatten(0, 2)
        for part, weight in zip(parts[1:], others, strict=True):
            rows.addmm_(part.permute(0, 2, 3, 1).flatten(0, 2), weight.flatten(1).T)
        return rows.view(x.shape).permute(0, 3, 1, 2)


def _halved(x: Tensor, stride: int, coarsest: int) -> tuple[Tensor, int]:
    """Maps (B, c, H, W) averaged down to a stride, as far as their size allows, and the stride reached."""
    while stride < coarsest and min(x.shape[-2:]) > 1:
        x = functional.avg_pool2d(x, 2, ceil_mode=True)
        stride *= 2
    return x, stride


def _tail(settings: Embedding) -> nn.Sequential:
    """(n, channels, samples, samples) -> (n, widths[1], samples / 4, samples / 4)."""
    blocks: list[nn.Module] = []
    inputs = settings.channels
    for width, depth in zip(settings.widths, settings.depths, strict=True):
        blocks.append(InvertedResidual(inputs, width, stride=2))
        blocks.extend(InvertedResidual(width, width) for _ in range(depth))
        inputs = width
    return nn.Sequential(*blocks)
