"""The joint grid detector: a photo becomes a matrix of 5x5 cells, each of which tells of the faces in its middle.

The one-stage detector of YOLO (Redmon et al., CVPR 2016) with an embedding in each cell; for small faces a decoder
enlarges the matrix to 11x11 and 19x19, with earlier maps beside it as U-Net has them (Ronneberger et al. 2015).
The five points of each box are an addition to it, so that faces are aligned and measured as RetinaFace's are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.grid_anchors import ANCHORS_PER_CELL, box_offsets, cell_anchors, initial_anchor_sizes
from onelook.model.layers import NEGATIVE_SLOPE, ConvNorm
from onelook.model.retinaface import ImageBackbone
from onelook.settings import ModelSettings

# Sides of the photo at which the trunk's last map has 5, 10, 20 or 40 cells either way.
_SIDES = (160, 320, 640, 1280)
# The decoder's transposed convolutions: kernel and padding that lead from 5 to 11 cells and from 11 to 19.
_ENLARGING = {11: (3, 0), 19: (5, 3)}
# What is told of each box: background and face; place and size; five points.
_TOLD = (2, 4, 10)
# Side of a face's box, the root of its area, in root mean square distances of the five points from their mean: the
# median of the embedded data's training scenes, where nine in ten lie between 3.8 and 4.3.
_SIDE_IN_SPREADS = 4.05


class GridDetector(ImageBackbone):
    """Trunk, encoder, decoder and one convolution that tells of the boxes, on photos resized to a square.

    Attributes:
        sizes: (scales, 3, 2) float32, the anchors' widths and heights as shares of the photo's; part of the saved
            model, measured on the training faces.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.sizes: Tensor
        grid = settings.grid
        self.image_size, self.scales = grid.image_size, grid.scales
        halvings = _SIDES.index(grid.image_size)
        widths = [*self.backbone.channels, *[grid.channels] * halvings]
        self.encode = nn.ModuleList(
            ConvNorm(inputs, grid.channels, stride=2) for inputs in widths[len(self.backbone.channels) - 1 : -1]
        )
        self.smooth = ConvNorm(widths[-1], grid.channels)
        # The maps of 10 and of 20 cells either way go beside those of 11 and of 19.
        self.decode = nn.ModuleList(
            _Enlarge(grid.channels, beside, *_ENLARGING[scale])
            for scale, beside in zip(grid.scales[1:], reversed(widths[:-1]), strict=False)
        )
        self.tell = nn.ModuleList(nn.Conv2d(grid.channels, ANCHORS_PER_CELL * sum(_TOLD), 1) for _ in grid.scales)
        for convolution in self.tell:
            _start_at_the_anchors(convolution)
        self.register_buffer("sizes", initial_anchor_sizes(len(grid.scales)))

    def forward(self, images: Tensor) -> tuple[AnchorOutputs, list[Tensor], list[Tensor]]:
        """(B, 3, H, W) RGB in 0..255, uint8 or float, of any size -> the parts of a `SharedPass`.

        Offsets lead from `anchors(H, W)`; there are as many. The heads' features are the `shared_maps` but the last.
        """
        maps = self.shared_maps(images)
        # (B, 3 * 16, s, s) -> (B, s, s, 3 * 16) -> (B, s * s * 3, 16)
        told = [convolution(x).permute(0, 2, 3, 1).flatten(1) for convolution, x in zip(self.tell, maps, strict=False)]
        logits, boxes, points = torch.cat(told, 1).unflatten(1, (-1, sum(_TOLD))).split(_TOLD, -1)
        return AnchorOutputs(logits, box_offsets(boxes, self.scales, self.sizes), points), maps, maps[:-1]

    def anchors(self, height: int, width: int) -> Tensor:
        """(n, 4; center x, center y, width, height) in pixels of an image of that size."""
        return cell_anchors(height, width, self.scales, self.sizes)

    def shared_maps(self, images: Tensor) -> list[Tensor]:
        """For each scale its cells' features (B, channels, s, s), coarse to fine; last the images' anchors (n, 4).

        By the anchors cells are found: the maps alone do not tell how large the images were.
        """
        maps: list[Tensor] = [*self.trunk_maps(self._squared(images))]
        for halve in self.encode:
            maps.append(halve(maps[-1]))
        cells = [self.smooth(maps.pop())]
        for enlarge in self.decode:
            cells.append(enlarge(cells[-1], maps.pop()))
        return [*cells, self.anchors(*images.shape[-2:])]

    def _squared(self, images: Tensor) -> Tensor:
        pixels = self.normalized(images)
        if pixels.shape[-2:] == (self.image_size, self.image_size):
            return pixels
        return functional.interpolate(pixels, (self.image_size, self.image_size), mode="bilinear", antialias=True)


class _Enlarge(nn.Module):
    """A finer matrix of cells: by a transposed convolution, an earlier map beside it, and a 3x3 over both.

    (B, channels, s, s) and (B, beside, h, w) -> (B, channels, S, S), S = 2 s - 2 + kernel - 2 padding.
    """

    def __init__(self, channels: int, beside: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.enlarge = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, kernel, stride=2, padding=padding, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        )
        self.join = ConvNorm(channels + beside, channels)

    def forward(self, x: Tensor, earlier: Tensor) -> Tensor:
        x = self.enlarge(x)
        beside = functional.interpolate(earlier, x.shape[-2:], mode="bilinear")
        joined: Tensor = self.join(torch.cat([x, beside], 1))
        return joined


@torch.no_grad()
def _start_at_the_anchors(convolution: nn.Module) -> None:
    """Before training every box is its anchor, its points in the middle: a cell's corner would be far from any face."""
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    weight = convolution.weight.unflatten(0, (ANCHORS_PER_CELL, -1))
    bias = convolution.bias.unflatten(0, (ANCHORS_PER_CELL, -1))
    weight[:, _TOLD[0] :] = 0
    bias.zero_()
    bias[:, _TOLD[0] : _TOLD[0] + 2] = 0.5


class CellEmbedding(nn.Module):
    """The embedding of the cell a face lies in: a 1x1 projection of the cell's features, of unit length.

    There is one a cell: two faces in one cell of one scale get the same.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        # The features of all cells have much in common: without the norm all faces would point the same way.
        self.project = nn.Sequential(nn.Linear(channels, size, bias=False), nn.BatchNorm1d(size))

    def forward(self, maps: Sequence[Tensor], landmarks: Sequence[Tensor]) -> Tensor:
        """Embed faces.

        Args:
            maps: as `GridDetector.shared_maps` gives them.
            landmarks: for each of the B images (n_i, 5, 2) in pixels.

        Returns:
            (sum of n_i, size) L2-normalized, image by image.
        """
        *maps, anchors = maps
        points = torch.cat(list(landmarks))
        counts = torch.tensor([len(each) for each in landmarks], device=points.device)
        owners = torch.arange(len(landmarks), device=points.device).repeat_interleave(counts)
        features = torch.cat([x.flatten(2) for x in maps], dim=2)
        return functional.normalize(self.project(features[owners, :, nearest_cells(points, anchors)]))


def nearest_cells(landmarks: Tensor, anchors: Tensor) -> Tensor:
    """The cell each face lies in, (n,) int64: its place in the order of the cells of all scales.

    Of the scales the one that has the anchor of the most similar side; of its cells the one that holds the mean of the
    five points, or is nearest to it.

    Args:
        landmarks: (n, 5, 2) in pixels of the photo.
        anchors: (3 m, 4) of the photo, three for each of m cells.
    """
    middles = landmarks.mean(1)
    spreads = (landmarks - middles[:, None]).square().sum(-1).mean(-1).sqrt()
    cells = anchors.unflatten(0, (-1, ANCHORS_PER_CELL))
    sides = cells[..., 2:].prod(-1).sqrt()
    misfit = ((spreads * _SIDE_IN_SPREADS).clip(1e-3)[:, None, None] / sides).log().abs().amin(-1)
    far = (middles[:, None] - cells[:, 0, :2]).square().sum(-1)
    return far.masked_fill(misfit > misfit.amin(1, keepdim=True), torch.inf).argmin(1)
