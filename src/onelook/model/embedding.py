"""The embedding head: faces sampled upright out of the shared maps, then a small tail.

The maps of several strides are projected to the same channels and summed. A 1x1 projection and bilinear sampling
commute, so each map is sampled at its own resolution, and only the samples are projected: one convolution over the
channels of all maps is that sum, and no enlarged fused map is ever made.
"""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.alignment import sampling_grid
from onelook.model.layers import InvertedResidual
from onelook.settings import Embedding

# Beyond this many halvings a face fills any photo the detector is shown.
_MOST_HALVINGS = 5


class EmbeddingHead(nn.Module):
    """Five-point similarity warp of the fused map, inverted residuals, global depthwise convolution, L2 norm.

    Args:
        inputs: channels of the shared maps, fine to coarse.
        strides: of those maps, in pixels.
        settings: widths and depths of the tail.
    """

    def __init__(self, inputs: Sequence[int], strides: Sequence[int], settings: Embedding) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.samples = settings.grid
        self.extent = settings.extent
        self.fuse = nn.Sequential(
            nn.Conv2d(sum(inputs), settings.channels, 1, bias=False),
            nn.BatchNorm2d(settings.channels),
            nn.PReLU(settings.channels),
        )
        self.tail = _tail(settings)
        # MobileFaceNet's global depthwise convolution: each cell of the last map has a weight of its own.
        width, cells = settings.widths[2], ceil(settings.grid / 4)
        self.gather = nn.Sequential(nn.Conv2d(width, width, cells, groups=width, bias=False), nn.BatchNorm2d(width))
        self.out = nn.Linear(width, settings.size, bias=False)
        self.norm = nn.BatchNorm1d(settings.size)

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces.

        Args:
            maps: shared maps (B, c, H / stride, W / stride), fine to coarse.
            landmarks: for each of the B images (n_i, 5, 2) in pixels.

        Returns:
            (sum of n_i, size) L2-normalised, image by image.
        """
        x = self.fuse(self.sample(maps, landmarks))
        x = self.gather(self.tail(x)).flatten(1)
        return functional.normalize(self.norm(self.out(x)))

    def sample(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """All maps under each face's upright grid: (sum of n_i, channels of all maps, samples, samples)."""
        faces = [self._sample_image([x[i : i + 1] for x in maps], points) for i, points in enumerate(landmarks)]
        return torch.cat(faces)

    def _sample_image(self, maps: Sequence[Tensor], landmarks: Tensor) -> Tensor:
        grids = sampling_grid(landmarks, self.samples, self.extent)
        # A large face is sampled more coarsely than the finest map: halved maps keep it from aliasing.
        spacing = (grids[:, 0, 1] - grids[:, 0, 0]).norm(dim=-1)
        halvings = torch.log2(spacing / self.strides[0]).round().clamp(0, _MOST_HALVINGS)
        faces = grids.new_zeros(len(grids), sum(x.shape[1] for x in maps), self.samples, self.samples)
        for halving in halvings.unique().tolist():
            chosen = (halvings == halving).nonzero()[:, 0]
            coarsest = self.strides[0] * 2 ** int(halving)
            parts = [_read(x, stride, coarsest, grids[chosen]) for x, stride in zip(maps, self.strides, strict=True)]
            faces = faces.index_copy(0, chosen, torch.cat(parts, dim=1))
        return faces


def _read(x: Tensor, stride: int, coarsest: int, grids: Tensor) -> Tensor:
    """Bilinear samples of a map (1, c, H, W) at grids (n, s, s, 2) in photo pixels, as (n, c, s, s); 0 outside it."""
    while stride < coarsest and min(x.shape[-2:]) > 1:
        x = functional.avg_pool2d(x, 2, ceil_mode=True)
        stride *= 2
    extent = grids.new_tensor([x.shape[-1] * stride, x.shape[-2] * stride])
    # One image, many faces: the faces' rows are stacked into one tall grid.
    tall = (2 * grids / extent - 1).flatten(0, 1)[None]
    sampled = functional.grid_sample(x, tall, align_corners=False)
    return sampled[0].unflatten(1, (len(grids), -1)).transpose(0, 1)


def _tail(settings: Embedding) -> nn.Sequential:
    """(n, channels, samples, samples) -> (n, widths[2], samples / 4, samples / 4)."""
    blocks: list[nn.Module] = []
    inputs = settings.channels
    for width, depth, stride in zip(settings.widths, settings.depths, (2, 2, 1), strict=True):
        blocks.append(InvertedResidual(inputs, width, stride=stride))
        blocks.extend(InvertedResidual(width, width) for _ in range(depth))
        inputs = width
    return nn.Sequential(*blocks)
