"""Joint grid detector: YOLO cells with an embedding each, on images resized to a square.

References:
    Detection by cells: YOLO (Redmon et al., CVPR 2016), with the box coding of YOLOv2 (`geometry.grid_anchors`).
    Decoder with skip connections: U-Net (Ronneberger et al., MICCAI 2015).

Differences from the published form: each box has five landmarks, so that faces are aligned and measured as
RetinaFace's are.

Examples:
    >>> settings = ModelSettings(architecture="grid", init="random", grid=GridSettings(scales=(5, 11, 19)))
    >>> output = GridDetector(settings).eval()(torch.zeros(1, 3, 480, 640, dtype=torch.uint8))
    >>> output.anchor_outputs.boxes.shape  # three anchors in each of 5² + 11² + 19² cells
    torch.Size([1, 1521, 4])
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.device import to_device
from onelook.geometry.alignment import SIZE_PER_LANDMARK_SPREAD
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.grid_anchors import (
    ANCHORS_PER_CELL,
    cell_to_anchor_offsets,
    initial_anchor_sizes,
    make_cell_anchors,
)
from onelook.model.conv_norm import NEGATIVE_SLOPE, ConvNorm
from onelook.model.detection_heads import HEAD_CHANNELS
from onelook.model.retinaface import NetworkOutput, PixelNormalization, build_backbone
from onelook.settings import ModelSettings

# Sides of the square image at which the backbone's last map has 5, 10, 20 or 40 cells along each side.
_IMAGE_SIZES = (160, 320, 640, 1280)
# Kernel and padding of the decoder's transposed convolutions, from 5 to 11 cells and from 11 to 19.
_UPSAMPLING = {11: (3, 0), 19: (5, 3)}


class GridDetector(nn.Module):
    """Backbone, encoder, decoder and one convolution per scale that predicts the boxes of its cells.

    Attributes:
        anchor_sizes: (scales, 3, 2) float32, anchor widths and heights as fractions of the image's. They are clustered
            from the training faces and saved with the model.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.anchor_sizes: Tensor
        grid = settings.grid
        self.normalize = PixelNormalization(settings)
        self.backbone = build_backbone(settings)
        self.image_size, self.scales = grid.image_size, grid.scales
        halvings = _IMAGE_SIZES.index(grid.image_size)
        widths = [*self.backbone.channels, *[grid.channels] * halvings]
        self.encoder = nn.ModuleList(
            ConvNorm(inputs, grid.channels, stride=2) for inputs in widths[len(self.backbone.channels) - 1 : -1]
        )
        self.smooth = ConvNorm(widths[-1], grid.channels)
        # The maps of 10 and 20 cells along each side are the skip connections of the scales of 11 and 19.
        self.decoder = nn.ModuleList(
            _UpsampleConcat(grid.channels, skip, *_UPSAMPLING[scale])
            for scale, skip in zip(grid.scales[1:], reversed(widths[:-1]), strict=False)
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(grid.channels, ANCHORS_PER_CELL * sum(HEAD_CHANNELS), 1) for _ in grid.scales
        )
        for conv in self.heads:
            _predict_anchors(conv)
        self.register_buffer("anchor_sizes", initial_anchor_sizes(len(grid.scales)))

    def forward(self, images: Tensor) -> NetworkOutput:
        """Detect faces in images (B, 3, H, W), RGB in 0..255, uint8 or float, of any size.

        Returns:
            Outputs for the anchors of `make_anchors(H, W)`. The feature maps are those of `extract_feature_maps`, the
            head features are the same without the anchors.
        """
        feature_maps = self.extract_feature_maps(images)
        # (B, 3 * 16, s, s) -> (B, s, s, 3 * 16) -> (B, s * s * 3 * 16)
        rows = [conv(x).permute(0, 2, 3, 1).flatten(1) for conv, x in zip(self.heads, feature_maps, strict=False)]
        outputs = torch.cat(rows, 1).unflatten(1, (-1, sum(HEAD_CHANNELS)))
        logits, boxes, landmarks = outputs.split(HEAD_CHANNELS, -1)
        offsets = cell_to_anchor_offsets(boxes, self.scales, self.anchor_sizes)
        return NetworkOutput(AnchorOutputs(logits, offsets, landmarks), feature_maps, feature_maps[:-1])

    def make_anchors(self, height: int, width: int) -> Tensor:
        """Generate the anchors (n, 4; center x, center y, width, height) of images of that size, in pixels."""
        return make_cell_anchors(height, width, self.scales, self.anchor_sizes)

    def extract_feature_maps(self, images: Tensor) -> list[Tensor]:
        """Compute the cells' features (B, channels, s, s) per scale, coarse to fine, and append the anchors (n, 4).

        The anchors carry the size of the images, which `CellEmbedding` needs to locate the cell of a face.
        """
        maps: list[Tensor] = [*self.backbone(self._resize(self.normalize(images)))]
        for conv in self.encoder:
            maps.append(conv(maps[-1]))
        cells = [self.smooth(maps.pop())]
        for upsample in self.decoder:
            cells.append(upsample(cells[-1], maps.pop()))
        return [*cells, self.make_anchors(*images.shape[-2:])]

    def _resize(self, pixels: Tensor) -> Tensor:
        if pixels.shape[-2:] == (self.image_size, self.image_size):
            return pixels
        return functional.interpolate(pixels, (self.image_size, self.image_size), mode="bilinear", antialias=True)


class _UpsampleConcat(nn.Module):
    """Decoder block: a transposed convolution, concatenation with an earlier map, and a 3x3 convolution.

    (B, channels, s, s) and (B, skip_channels, h, w) -> (B, channels, S, S), S = 2 s - 2 + kernel - 2 padding.
    """

    def __init__(self, channels: int, skip_channels: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, kernel, stride=2, padding=padding, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        )
        self.fusion = ConvNorm(channels + skip_channels, channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.upsample(x)
        skip = functional.interpolate(skip, x.shape[-2:], mode="bilinear")
        fused: Tensor = self.fusion(torch.cat([x, skip], 1))
        return fused


@torch.no_grad()
def _predict_anchors(conv: nn.Module) -> None:
    """Initialize a head so that every box is its anchor and every landmark its center.

    Zero offsets would be a corner of the cell, which is far from any face.
    """
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    weight = conv.weight.unflatten(0, (ANCHORS_PER_CELL, -1))
    bias = conv.bias.unflatten(0, (ANCHORS_PER_CELL, -1))
    logits = HEAD_CHANNELS[0]
    weight[:, logits:] = 0
    bias.zero_()
    bias[:, logits : logits + 2] = 0.5


class CellEmbedding(nn.Module):
    """Embedding of the cell that a face lies in: a linear projection of the cell's features, L2-normalized.

    Two faces in one cell of one scale have the same embedding.
    """

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        # The features of all cells share a large mean; without batch norm all embeddings would be nearly parallel.
        self.projection = nn.Sequential(nn.Linear(channels, dim, bias=False), nn.BatchNorm1d(dim))

    def forward(self, feature_maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces.

        Args:
            feature_maps: as `GridDetector.extract_feature_maps` returns them.
            landmarks: (n_i, 5, 2) in pixels, for each of the B images.

        Returns:
            (n, dim) L2-normalized, image by image; n is the sum of n_i.
        """
        *maps, anchors = feature_maps
        points = torch.cat(list(landmarks))
        counts = torch.tensor([len(each) for each in landmarks])
        images = to_device(torch.arange(len(landmarks)).repeat_interleave(counts), points.device)
        features = torch.cat([x.flatten(2) for x in maps], dim=2)  # (B, channels, cells)
        return functional.normalize(self.projection(features[images, :, assign_cells(points, anchors)]))


def assign_cells(landmarks: Tensor, anchors: Tensor) -> Tensor:
    """Assign each face to a cell; returns the cell's index (n,) int64 over all scales.

    - The scale is the one that has the anchor of the most similar side.
    - The cell is the one that contains the mean of the landmarks, or is nearest to it.

    Args:
        landmarks: (n, 5, 2) in pixels of the image.
        anchors: (3 m, 4) of the image, three for each of m cells.
    """
    centers = landmarks.mean(1)
    spreads = (landmarks - centers[:, None]).square().sum(-1).mean(-1).sqrt()
    cells = anchors.unflatten(0, (-1, ANCHORS_PER_CELL))
    sides = cells[..., 2:].prod(-1).sqrt()
    mismatch = ((spreads * SIZE_PER_LANDMARK_SPREAD).clip(1e-3)[:, None, None] / sides).log().abs().amin(-1)
    distances = (centers[:, None] - cells[:, 0, :2]).square().sum(-1)
    return distances.masked_fill(mismatch > mismatch.amin(1, keepdim=True), torch.inf).argmin(1)
