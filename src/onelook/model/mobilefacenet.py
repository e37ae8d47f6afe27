"""MobileFaceNet (Chen et al., arXiv 1804.07573, table 1): a recognizer of its own, from aligned crops.

    photo + five points ─▶ aligned crop of 112 pixels ─▶ inverted residuals ─▶ GDC or average ─▶ 1x1 ─▶ embedding

`SeparateRecognizer` has the interface of a joint network, so the same training loop trains it on the same batches.
Its only feature map is the photo itself.

Examples:
    >>> network = MobileFaceNet(dim=128).eval()
    >>> network(torch.zeros(2, 3, 112, 112)).shape
    torch.Size([2, 128])
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.alignment import CROP_SIZE
from onelook.model.conv_norm import ConvNorm
from onelook.model.depthwise import Float32DepthwiseConv2d
from onelook.model.embedding_head import InvertedResidual
from onelook.model.feature_sampler import PIXEL_DENSITY, FeatureSampler
from onelook.model.joint_network import JointNetwork
from onelook.precision import to_float32
from onelook.settings import EmbeddingSettings, ModelSettings

Pooling = Literal["gdc", "average"]
"""Last pooling: global depthwise convolution, or the average that it replaced."""

# Expansion, channels, repetitions and stride of the inverted residuals.
_BLOCKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_STEM, _LAST = 64, 512
_LAST_SIDE = CROP_SIZE // 16
_PIXEL_MEAN, _PIXEL_SCALE = 127.5, 1 / 128


class MobileFaceNet(nn.Module):
    """Aligned crops to embeddings; 0.99 million parameters at 128 dimensions, with batch norms as biases."""

    def __init__(self, dim: int, pooling: Pooling = "gdc") -> None:
        """Build the network for embeddings of length `dim`."""
        super().__init__()
        blocks: list[nn.Module] = [
            *_conv_prelu(3, _STEM, stride=2),
            *_conv_prelu(_STEM, _STEM, groups=_STEM),
        ]
        inputs = _STEM
        for expansion, channels, repetitions, stride in _BLOCKS:
            for number in range(repetitions):
                first_stride = stride if number == 0 else 1
                block = InvertedResidual(
                    inputs, channels, stride=first_stride, expansion=expansion, activation=nn.PReLU
                )
                blocks.append(block)
                inputs = channels
        self.body = nn.Sequential(*blocks, *_conv_prelu(inputs, _LAST, kernel=1))
        self.pooling: nn.Module = nn.AvgPool2d(_LAST_SIDE)
        if pooling == "gdc":
            self.pooling = nn.Sequential(Float32DepthwiseConv2d(_LAST, _LAST_SIDE), nn.BatchNorm2d(_LAST))
        self.projection = nn.Sequential(nn.Conv2d(_LAST, dim, 1, bias=False), nn.BatchNorm2d(dim))

    def forward(self, crops: Tensor) -> Tensor:
        """Embed crops (n, 3, 112, 112), RGB in 0..255, uint8 or float, as L2-normalized rows (n, dim) float32."""
        x = self.body((crops - _PIXEL_MEAN) * _PIXEL_SCALE)  # (n, 512, 7, 7)
        return functional.normalize(to_float32(self.projection(self.pooling(x)).flatten(1)))


class SeparateRecognizer(JointNetwork):
    """MobileFaceNet on crops that it cuts from photos itself, with the interface of a joint network."""

    def __init__(self, dim: int, pooling: Pooling = "gdc") -> None:
        """Build the network for embeddings of length `dim`."""
        nn.Module.__init__(self)
        self.settings = ModelSettings(init="random", embedding=EmbeddingSettings(dim=dim))
        self.detector = _PhotoMap()  # type: ignore[assignment]
        self.embedding = _CroppingRecognizer(MobileFaceNet(dim, pooling))  # type: ignore[assignment]
        self.mesh = self.dense = None

    @property
    def recognizer(self) -> MobileFaceNet:
        """The network of the crops."""
        return self.embedding.recognizer  # type: ignore[return-value]

    def train(self, mode: bool = True) -> "SeparateRecognizer":
        """Set the training mode of all layers."""
        nn.Module.train(self, mode)
        return self


class _PhotoMap(nn.Module):
    """A detector without layers, whose only feature map is the photo."""

    def extract_feature_maps(self, images: Tensor) -> list[Tensor]:
        """Return images (B, 3, H, W) as float."""
        return [images.float()]


class _CroppingRecognizer(nn.Module):
    """MobileFaceNet behind the warp of five points to ArcFace's template."""

    def __init__(self, recognizer: MobileFaceNet) -> None:
        super().__init__()
        self.sampler = FeatureSampler(EmbeddingSettings(strides=(1,), grid_size=CROP_SIZE // PIXEL_DENSITY))
        self.recognizer = recognizer

    def forward(self, feature_maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces at landmarks (n_i, 5, 2) of photos (B, 3, H, W); returns (n, dim)."""
        with torch.autocast(feature_maps[0].device.type, enabled=False):
            samples, _ = self.sampler(feature_maps, landmarks)  # (n, 16 points of 3 channels, 28, 28)
        tiles = samples[0].unflatten(1, (PIXEL_DENSITY, PIXEL_DENSITY, 3))  # (n, y, x, 3, 28, 28)
        crops = tiles.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
        embeddings: Tensor = self.recognizer(crops)
        return embeddings


def _conv_prelu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = ConvNorm(inputs, outputs, kernel=kernel, stride=stride, groups=groups, negative_slope=None)
    return [convolution, nn.PReLU(outputs)]
