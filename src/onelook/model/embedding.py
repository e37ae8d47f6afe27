"""The embedding head: faces sampled out of the shared maps, by default turned upright, then a small tail.

The maps of several strides are projected to the same channels and summed. A 1x1 projection and bilinear sampling
commute, so each map is sampled at its own resolution, and only the samples are projected: one convolution over the
channels of all maps is that sum, and no enlarged fused map is ever made. The finest map is sampled twice as densely as
the others, and each 2x2 of its samples become channels: at one sample per cell of the grid most of it would be skipped.
"""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.alignment import centre_grid, sampling_grid, upright_grid
from onelook.model.layers import ConvNorm, InvertedResidual
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
        inputs: channels of the shared maps, fine to coarse.
        strides: of those maps, in pixels.
        settings: widths and depths of the tail.
    """

    def __init__(self, inputs: Sequence[int], strides: Sequence[int], settings: Embedding) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.grid = _GRIDS[settings.sampling]
        self.samples = settings.grid
        self.sampled = 1 if settings.sampling == "centre" else settings.grid
        self.extent = settings.extent
        self.channels = inputs[0] * _DENSER**2 + sum(inputs[1:])
        self.fuse = nn.Sequential(
            nn.Conv2d(self.channels, settings.channels, 1, bias=False),
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
        # Depthwise convolutions are faster with the channels innermost.
        x = self.sample(maps, landmarks).contiguous(memory_format=torch.channels_last)
        x = self.fuse(x).expand(-1, -1, self.samples, self.samples)
        x = self.out(self.gather(self.widen(self.tail(x))))
        return functional.normalize(x.flatten(1))

    def sample(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """All maps under each face's grid: (sum of n_i, channels of all maps, samples, samples).

        The finest map's channels come first, four times as many as it has. Of a single point there is one sample.
        """
        points = torch.cat(list(landmarks))
        counts = torch.tensor([len(each) for each in landmarks], device=points.device)
        owners = torch.arange(len(landmarks), device=points.device).repeat_interleave(counts)
        grids = self.grid(points, self.sampled, self.extent)
        dense = self.grid(points, _DENSER * self.sampled, self.extent)
        # A large face is sampled more coarsely than the finest map: halved maps keep it from aliasing. The samples of
        # a single point have no spacing, so the maps stay as they are.
        spacing = (dense[:, 0, 1] - dense[:, 0, 0]).norm(dim=-1)
        halvings = torch.log2(spacing / self.strides[0]).round().clamp(0, _MOST_HALVINGS)
        parts, places = [], []
        for halving in halvings.unique().tolist():
            chosen = (halvings == halving).nonzero()[:, 0]
            coarsest = self.strides[0] * 2 ** int(halving)
            sampled = [_read_dense(maps[0], self.strides[0], coarsest, dense[chosen], owners[chosen])]
            # The other maps are sampled half as densely, so they may stay twice as fine.
            sampled += [
                _read(x, stride, coarsest * _DENSER, grids[chosen], owners[chosen])
                for x, stride in zip(maps[1:], self.strides[1:], strict=True)
            ]
            parts.append(torch.cat(sampled, dim=1))
            places.append(chosen)
        if not parts:
            return maps[0].new_zeros(0, self.channels, self.sampled, self.sampled)
        return parts[0] if len(parts) == 1 else torch.cat(parts)[torch.cat(places).argsort()]


def _read_dense(x: Tensor, stride: int, coarsest: int, grids: Tensor, owners: Tensor) -> Tensor:
    """`_read` at denser grids (n, 2s, 2s, 2), the samples of each 2x2 as channels: (n, 4c, s, s).

    Channels are ordered as `pixel_unshuffle` orders them. Taking the grids apart costs less than the samples would.
    """
    size = grids.shape[1] // _DENSER
    apart = grids.unflatten(1, (size, _DENSER)).unflatten(3, (size, _DENSER)).permute(0, 2, 4, 1, 3, 5)
    sampled = _read(x, stride, coarsest, apart.reshape(len(grids), -1, size, 2), owners)
    return sampled.unflatten(2, (_DENSER**2, size)).flatten(1, 2)


def _read(x: Tensor, stride: int, coarsest: int, grids: Tensor, owners: Tensor) -> Tensor:
    """Bilinear samples of maps (B, c, H, W) at grids (n, h, w, 2) in photo pixels, as (n, c, h, w); 0 outside a map.

    `owners` (n,), ascending, are the images the grids lie in.
    """
    images, places = owners.unique_consecutive(return_inverse=True)
    if len(images) < len(x):
        x = x[images]
    while stride < coarsest and min(x.shape[-2:]) > 1:
        x = functional.avg_pool2d(x, 2, ceil_mode=True)
        stride *= 2
    grids = grids * (2 / grids.new_tensor([x.shape[-1] * stride, x.shape[-2] * stride])) - 1
    # One call for all: each image's faces are stacked into one tall grid, as many rows as the image with most needs.
    slots = torch.arange(len(grids), device=places.device) - torch.searchsorted(places, places)
    most = int(slots.max()) + 1
    whole = len(grids) == len(images) * most  # as many faces in each: no gap to leave, and none to take out
    shape = (len(images), most, *grids.shape[1:])
    tall = grids.view(shape) if whole else grids.new_zeros(shape).index_put((places, slots), grids)
    sampled = functional.grid_sample(x, tall.flatten(1, 2).to(x.dtype), align_corners=False)
    sampled = sampled.unflatten(2, (most, -1)).transpose(1, 2)
    return sampled.flatten(0, 1) if whole else sampled[places, slots]


def _tail(settings: Embedding) -> nn.Sequential:
    """(n, channels, samples, samples) -> (n, widths[1], samples / 4, samples / 4)."""
    blocks: list[nn.Module] = []
    inputs = settings.channels
    for width, depth in zip(settings.widths, settings.depths, strict=True):
        blocks.append(InvertedResidual(inputs, width, stride=2))
        blocks.extend(InvertedResidual(width, width) for _ in range(depth))
        inputs = width
    return nn.Sequential(*blocks)
