"""Embedding head: faces sampled from the detector's feature maps, aligned, then the last half of MobileFaceNet.

    feature maps ─ sampler (RoIAlign along the face's own axes) ─▶ fusion ─▶ tail ─▶ expand ─▶ GDC ─▶ projection

References:
    MobileFaceNet: Chen et al., arXiv 1804.07573, table 1: inverted residuals, global depthwise convolution (GDC).
    Alignment: the similarity transform from five landmarks to ArcFace's template (Deng et al., CVPR 2019).
    Sampling: RoIAlign (He et al., ICCV 2017, section 3), rotated with the face.

Differences from MobileFaceNet:
    - Its first half is replaced by the detector's feature maps, so a face costs no backbone pass of its own.
    - The maps of several strides are sampled at their own resolution, projected to the same channels and summed.
      Bilinear sampling and a 1x1 convolution commute, so no fused map is computed.
    - The finest map is sampled at 2x2 points per grid cell, which become channels (space to depth).

Examples:
    >>> head = EmbeddingHead({2: 16, 4: 32, 8: 64, 16: 64}, EmbeddingSettings()).eval()
    >>> maps = [torch.randn(1, c, 480 // s, 640 // s) for s, c in {2: 16, 4: 32, 8: 64, 16: 64}.items()]
    >>> head(maps, [torch.rand(3, 5, 2) * 400]).shape  # three faces of one image
    torch.Size([3, 128])
"""

from collections.abc import Mapping, Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.sampling_grid import center_grid, roi_grid, warp_grid
from onelook.model.retinaface import ConvNorm
from onelook.settings import EmbeddingSettings

MAX_POOLINGS = 5
"""Largest number of 2x2 poolings of the finest map; a face that needs more fills any image."""
FINEST_DENSITY = 2
"""Samples of the finest map along each side of a grid cell."""

_GRIDS = {"warp": warp_grid, "roi": roi_grid, "center": center_grid}


class EmbeddingHead(nn.Module):
    """Sampling of faces, fusion of the maps' samples, and the tail of MobileFaceNet.

    Args:
        channels: channels of the feature maps by stride in pixels, fine to coarse.
        settings: the maps that are sampled, the sampling, and widths and depths of the tail.

    Attributes:
        sampler: a `FeatureSampler`, or a subclass that computes the same faster (`onelook.model.fast_sampling`).
    """

    def __init__(self, channels: Mapping[int, int], settings: EmbeddingSettings) -> None:
        super().__init__()
        self.map_indices = [index for index, stride in enumerate(channels) if stride in settings.strides]
        self.grid_size = settings.grid_size
        self.sampler = FeatureSampler(settings)
        self.fusion = nn.Sequential(
            FactoredConv1x1([channels[stride] for stride in settings.strides], settings.channels),
            nn.BatchNorm2d(settings.channels),
            nn.PReLU(settings.channels),
        )
        self.tail = _build_tail(settings)
        gdc = settings.gdc_channels
        self.expand = nn.Sequential(
            ConvNorm(settings.widths[1], gdc, kernel=1, negative_slope=None), nn.ReLU6(inplace=True)
        )
        # Unlike average pooling, the GDC has a weight per cell: the center of a face matters more than its rim.
        self.gdc = nn.Sequential(
            nn.Conv2d(gdc, gdc, ceil(settings.grid_size / 4), groups=gdc, bias=False), nn.BatchNorm2d(gdc)
        )
        self.projection = nn.Sequential(nn.Conv2d(gdc, settings.dim, 1, bias=False), nn.BatchNorm2d(settings.dim))

    def forward(self, feature_maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces.

        Args:
            feature_maps: (B, c, H / stride, W / stride) each, fine to coarse.
            landmarks: (n_i, 5, 2) in pixels, for each of the B images.

        Returns:
            (n, dim) L2-normalized, image by image; n is the sum of n_i.
        """
        samples, order = self.sample(feature_maps, landmarks)
        x = self.fusion(samples)  # (n, channels, s, s)
        x = x.expand(-1, -1, self.grid_size, self.grid_size)  # a single point is repeated over the grid
        x = self.expand(self.tail(x))  # (n, gdc_channels, s / 4, s / 4)
        x = self.projection(self.gdc(x)).flatten(1)  # (n, dim)
        return functional.normalize(x).index_select(0, order.argsort())

    def sample(self, feature_maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Sample the maps named in the settings; arguments as in `forward`, result as in `FeatureSampler`."""
        samples: tuple[list[Tensor], Tensor] = self.sampler([feature_maps[i] for i in self.map_indices], landmarks)
        return samples


class FeatureSampler(nn.Module):
    """Bilinear sampling of feature maps at a grid per face: the reference implementation, on any device.

    A face whose grid is coarser than a map would alias. Its samples are therefore read from the map after as many
    2x2 average poolings as bring cells and grid to the same spacing. It copies a map for every face; `FastSampler`
    (`onelook.model.fast_sampling`) does not.

    Attributes:
        strides: of the maps, in pixels, ascending.
        grid: function that computes the sampling grid from landmarks.
        samples: along each side of the grid; 1 where a single point is sampled.
        extent: side of the grid, as a multiple of ArcFace's aligned crop.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        super().__init__()
        self.strides = settings.strides
        self.grid = _GRIDS[settings.sampling]
        self.samples = 1 if settings.sampling == "center" else settings.grid_size
        self.extent = settings.extent

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Sample maps.

        Args:
            maps: (B, c, H / stride, W / stride) each, of `strides`.
            landmarks: (n_i, 5, 2) in pixels, for each of the B images.

        Returns:
            For each map (n, c, samples, samples); for the first (n, 4 c, samples, samples), the channels of the 2x2
            points of a cell one after another. Zeros outside a map. And `order`, (n,) int64: the face of each row.
        """
        points = torch.cat(list(landmarks))  # (n, 5, 2)
        counts = torch.tensor([len(each) for each in landmarks], device=points.device)
        images = torch.arange(len(landmarks), device=points.device).repeat_interleave(counts)
        poolings = self._count_poolings(points)
        samples = []
        for index, (x, stride) in enumerate(zip(maps, self.strides, strict=True)):
            density = FINEST_DENSITY if index == 0 else 1
            grid = self.grid(points, density * self.samples, self.extent, density)  # (n, s, density² s, 2)
            limits = self.strides[0] * 2**poolings * FINEST_DENSITY // density  # coarsest stride of each face
            sampled = _sample_pooled(x, stride, limits, grid, images)  # (n, c, s, density² s)
            # -> (n, c, s, s, density²) -> (n, density², c, s, s) -> (n, density² c, s, s)
            samples.append(sampled.unflatten(3, (-1, density**2)).permute(0, 4, 1, 2, 3).flatten(1, 2))
        return samples, torch.arange(len(points), device=points.device)

    def _count_poolings(self, points: Tensor) -> Tensor:
        """Compute how often the finest map is pooled for each face, (n,) int64, from landmarks (n, 5, 2)."""
        corners = self.grid(points.detach(), 2, self.extent)[:, 0]  # (n, 2, 2), half a side of the grid apart
        side = 2 * torch.linalg.vector_norm(corners[:, 1] - corners[:, 0], dim=-1)
        spacing = side / (FINEST_DENSITY * self.samples)
        return (spacing / self.strides[0]).clamp(min=1).log2().round().clamp(max=MAX_POOLINGS).long()


def _sample_pooled(x: Tensor, stride: int, limits: Tensor, grid: Tensor, images: Tensor) -> Tensor:
    """Sample a map, pooled 2x2 for each face as long as its stride is below the face's limit.

    Args:
        x: (B, c, H, W).
        stride: of the map, in pixels.
        limits: (n,) strides in pixels.
        grid: (n, h, w, 2) x and y in pixels.
        images: (n,) int64, the index of each face's image.

    Returns:
        (n, c, h, w).
    """
    samples = x.new_zeros(len(grid), x.shape[1], *grid.shape[1:3])
    remaining = torch.arange(len(grid), device=grid.device)
    while len(remaining):
        more = (limits[remaining] > stride) & (min(x.shape[-2:]) > 1)
        rows, remaining = remaining[~more], remaining[more]
        size = grid.new_tensor([x.shape[3] * stride, x.shape[2] * stride])
        # Pixels 0..size are -1..1 of grid_sample.
        sampled = functional.grid_sample(x[images[rows]], 2 * grid[rows] / size - 1, align_corners=False)
        samples = samples.index_copy(0, rows, sampled)
        x, stride = functional.avg_pool2d(x, 2, ceil_mode=True), stride * 2
    return samples


class FactoredConv1x1(nn.Conv2d):
    """1x1 convolution of the concatenated samples of all maps, computed map by map without concatenating them.

    Args:
        inputs: channels of the maps, the finest first.
        outputs: channels of the result.
    """

    def __init__(self, inputs: Sequence[int], outputs: int) -> None:
        split_sizes = [inputs[0] * FINEST_DENSITY**2, *inputs[1:]]
        super().__init__(sum(split_sizes), outputs, 1, bias=False)
        self.split_sizes = split_sizes

    def kernels(self) -> list[Tensor]:
        """Return the kernel (outputs, c, 1, 1) of each map's samples.

        In the weight, the inputs of the finest map are ordered by channel, then point, as in `pixel_unshuffle`. In the
        samples and in the returned kernel they are ordered by point, then channel.
        """
        finest, *others = self.weight.split(self.split_sizes, 1)
        finest = finest.unflatten(1, (-1, FINEST_DENSITY**2)).transpose(1, 2).flatten(1, 2)
        return [finest, *others]

    def forward(self, samples: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Convolve the samples of each map, (n, c, s, s) as `FeatureSampler` returns them -> (n, outputs, s, s)."""
        finest, *others = self.kernels()
        x = functional.conv2d(samples[0], finest, self.bias).permute(0, 2, 3, 1)  # (n, s, s, outputs)
        rows = x.flatten(0, 2)
        for sampled, kernel in zip(samples[1:], others, strict=True):
            rows.addmm_(sampled.permute(0, 2, 3, 1).flatten(0, 2), kernel.flatten(1).T)
        return rows.view(x.shape).permute(0, 3, 1, 2)


class InvertedResidual(nn.Module):
    """MobileNetV2 block: 1x1 expansion, depthwise 3x3, linear 1x1 projection, and the input where shapes agree.

    (B, in, H, W) -> (B, out, H / stride, W / stride). The activation is ReLU6 as in MobileNetV2, not the PReLU of
    MobileFaceNet, because a tail may start from a recognizer with ReLU6 (`onelook.model.pretrained`).
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, expansion: int = 2) -> None:
        super().__init__()
        self.inner_channels = inner = inputs * expansion
        self.body = nn.Sequential(
            ConvNorm(inputs, inner, kernel=1, negative_slope=None),
            nn.ReLU6(inplace=True),
            ConvNorm(inner, inner, stride=stride, groups=inner, negative_slope=None),
            nn.ReLU6(inplace=True),
            ConvNorm(inner, outputs, kernel=1, negative_slope=None),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).add_(x) if self.residual else self.body(x)


def _build_tail(settings: EmbeddingSettings) -> nn.Sequential:
    """Build the inverted residuals: (n, channels, s, s) -> (n, widths[1], s / 4, s / 4)."""
    blocks: list[nn.Module] = []
    inputs = settings.channels
    for width, depth in zip(settings.widths, settings.depths, strict=True):
        blocks.append(InvertedResidual(inputs, width, stride=2))
        blocks.extend(InvertedResidual(width, width) for _ in range(depth))
        inputs = width
    return nn.Sequential(*blocks)
