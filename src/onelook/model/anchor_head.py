"""Heads with many outputs per anchor, computed at selected anchors only."""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel


class AnchorHead(nn.Module):
    """A linear layer for each anchor size of each level; levels share no weights.

    It is a 1x1 convolution as the detection heads are, evaluated at selected anchors: at positive anchors in training,
    at detected faces at inference.

    Args:
        channels: of the head features.
        levels: anchor parameters of the levels.
        outputs: number of outputs per anchor.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel], outputs: int) -> None:
        super().__init__()
        self.anchors_per_cell = [len(level.sizes) for level in levels]
        self.outputs = outputs
        self.linears = nn.ModuleList(nn.Linear(channels, outputs) for _ in range(sum(self.anchors_per_cell)))

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor) -> Tensor:
        """Compute the outputs (k, outputs) of anchors.

        Args:
            features: the head features of a `NetworkOutput`, (B, c, H, W) per level, fine to coarse.
            images: (k,) int64, index of each anchor's image.
            anchors: (k,) int64, index of each anchor in the order of `make_anchors`.
        """
        outputs = features[0].new_zeros(len(anchors), self.outputs)
        levels = list(zip(features, self.anchors_per_cell, strict=True))
        ends = accumulate(x.shape[2] * x.shape[3] * count for x, count in levels)
        start, linears = 0, iter(self.linears)
        for (x, count), end in zip(levels, ends, strict=True):
            for size in range(count):
                linear = next(linears)
                rows = ((anchors >= start) & (anchors < end) & ((anchors - start) % count == size)).nonzero()[:, 0]
                if len(rows) == 0:
                    continue
                cells = (anchors[rows] - start) // count
                cell_features = x[images[rows], :, cells // x.shape[3], cells % x.shape[3]]
                outputs = outputs.index_copy(0, rows, linear(cell_features))
            start = end
        return outputs
