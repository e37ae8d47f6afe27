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
    - The finest map is sampled at 2x2 points per grid cell, which become channels (space to depth). Where it is the
      photo itself, at 4x4: then the projection of its samples is the 4x4 convolution of stride 4 that begins a ViT or a
      ConvNeXt.

Examples:
    >>> head = EmbeddingHead({2: 16, 4: 32, 8: 64, 16: 64}, EmbeddingSettings()).eval()
    >>> maps = [torch.randn(1, c, 480 // s, 640 // s) for s, c in {2: 16, 4: 32, 8: 64, 16: 64}.items()]
    >>> head(maps, [torch.rand(3, 5, 2) * 400]).shape  # three faces of one image
    torch.Size([3, 128])
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.model.conv_norm import ConvNorm
from onelook.model.depthwise import Float32DepthwiseConv2d
from onelook.model.feature_sampler import PIXEL_DENSITY, FeatureSampler
from onelook.precision import to_float32
from onelook.settings import EmbeddingSettings

PIXEL_SCALE = 1 / 64
"""Factor of the photo's normalized pixels, whose standard deviation is about 64."""


class EmbeddingHead(nn.Module):
    """Sampling of faces, fusion of the maps' samples, and the tail of MobileFaceNet.

    Args:
        channels: channels of the feature maps by stride in pixels, fine to coarse.
        settings: the maps that are sampled, the sampling, and widths and depths of the tail.

    Attributes:
        sampler: a `FeatureSampler`, or a subclass that computes the same faster at inference on a CPU.
    """

    def __init__(self, channels: Mapping[int, int], settings: EmbeddingSettings) -> None:
        super().__init__()
        self.map_indices = [index for index, stride in enumerate(channels) if stride in settings.strides]
        self.grid_size = settings.grid_size
        self.sampler = FeatureSampler(settings)
        self.fusion = nn.Sequential(
            FactoredConv1x1([channels[stride] for stride in settings.strides], settings.channels, self.sampler.density),
            nn.BatchNorm2d(settings.channels),
            nn.PReLU(settings.channels),
        )
        self.tail = _build_tail(settings)
        gdc = settings.gdc_channels
        self.expand = nn.Sequential(
            ConvNorm(settings.widths[1], gdc, kernel=1, negative_slope=None), nn.ReLU6(inplace=True)
        )
        # Unlike average pooling, the GDC has a weight per cell: the center of a face matters more than its rim.
        self.gdc = nn.Sequential(Float32DepthwiseConv2d(gdc, ceil(settings.grid_size / 4)), nn.BatchNorm2d(gdc))
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
        embeddings = functional.normalize(to_float32(x))
        return embeddings if order is None else embeddings.index_select(0, order.argsort())

    def sample(self, feature_maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """Sample the maps named in the settings; arguments as in `forward`, result as in `FeatureSampler`."""
        maps = [feature_maps[i] for i in self.map_indices]
        # Eight bits are too few for the positions of a grid in pixels.
        with torch.autocast(maps[0].device.type, enabled=False):
            samples: tuple[list[Tensor], Tensor | None] = self.sampler(maps, landmarks)
        return samples


class FactoredConv1x1(nn.Conv2d):
    """1x1 convolution of the concatenated samples of all maps, computed map by map without concatenating them.

    Args:
        inputs: channels of the maps, the finest first.
        outputs: channels of the result.
        density: samples of the finest map along each side of a grid cell.
    """

    def __init__(self, inputs: Sequence[int], outputs: int, density: int) -> None:
        split_sizes = [inputs[0] * density**2, *inputs[1:]]
        super().__init__(sum(split_sizes), outputs, 1, bias=False)
        self.split_sizes = split_sizes
        self.density = density
        # Pixels are larger than the values of a map. Adam's steps do not depend on the scale of an input, so without
        # this factor the weights of pixels would move too far.
        self.finest_scale = PIXEL_SCALE if density == PIXEL_DENSITY else 1.0

    def kernels(self) -> list[Tensor]:
        """Return the kernel (outputs, c, 1, 1) of each map's samples.

        In the weight, the inputs of the finest map are ordered by channel, then point, as in `pixel_unshuffle`. In the
        samples and in the returned kernel they are ordered by point, then channel.
        """
        finest, *others = self.weight.split(self.split_sizes, 1)
        finest = finest.unflatten(1, (-1, self.density**2)).transpose(1, 2).flatten(1, 2)
        return [finest * self.finest_scale, *others]

    def forward(self, samples: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Convolve the samples of each map, (n, c, s, s) as `FeatureSampler` returns them -> (n, outputs, s, s)."""
        finest, *others = self.kernels()
        x = functional.conv2d(samples[0], finest, self.bias).permute(0, 2, 3, 1)  # (n, s, s, outputs)
        rows = x.flatten(0, 2)
        for sampled, kernel in zip(samples[1:], others, strict=True):
            # Autocast does not cast the arguments of an operation in place.
            inputs = sampled.permute(0, 2, 3, 1).flatten(0, 2)
            rows.addmm_(inputs.to(rows.dtype), kernel.flatten(1).T.to(rows.dtype))
        return rows.view(x.shape).permute(0, 3, 1, 2)


class InvertedResidual(nn.Module):
    """MobileNetV2 block: 1x1 expansion, depthwise 3x3, linear 1x1 projection, and the input where shapes agree.

    (B, in, H, W) -> (B, out, H / stride, W / stride). In the tail the activation is ReLU6 as in MobileNetV2, not the
    PReLU of MobileFaceNet, because a tail may start from a recognizer with ReLU6 (`onelook.model.pretrained`).

    Args:
        inputs, outputs: channels.
        stride: of the depthwise convolution.
        expansion: inner channels as a multiple of the inputs.
        activation: builds the activation of a number of channels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: int = 1,
        expansion: int = 2,
        activation: Callable[[int], nn.Module] = lambda channels: nn.ReLU6(inplace=True),
    ) -> None:
        super().__init__()
        self.inner_channels = inner = inputs * expansion
        self.body = nn.Sequential(
            ConvNorm(inputs, inner, kernel=1, negative_slope=None),
            activation(inner),
            ConvNorm(inner, inner, stride=stride, groups=inner, negative_slope=None),
            activation(inner),
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
