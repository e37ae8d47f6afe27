"""Linear heads with many outputs, computed for chosen anchors alone."""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel


class AnchorHead(nn.Module):
    """A linear layer for each anchor size of each level; levels share no weights.

    Equivalent to a 1x1 convolution like the detection heads, but with many outputs. It is therefore computed only
    where its outputs are used: at positive anchors in training, at detected faces at inference.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel], outputs: int) -> None:
        super().__init__()
        self.sizes = [len(level.sizes) for level in levels]
        self.outputs = outputs
        self.linears = nn.ModuleList(nn.Linear(channels, outputs) for _ in range(sum(self.sizes)))

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor) -> Tensor:
        """Compute the outputs (k, outputs) of chosen anchors.

        Args:
            features: inputs of the detection heads, (B, c, H, W) per level, fine to coarse.
            images, anchors: (k,) int64, the image and the index of each anchor in the order of `make_anchors`.
        """
        found = features[0].new_zeros(len(anchors), self.outputs)
        ends = accumulate(x.shape[2] * x.shape[3] * sizes for x, sizes in zip(features, self.sizes, strict=True))
        start, linears = 0, iter(self.linears)
        for x, sizes, end in zip(features, self.sizes, ends, strict=True):
            for size in range(sizes):
                readout = next(linears)
                rows = ((anchors >= start) & (anchors < end) & ((anchors - start) % sizes == size)).nonzero()[:, 0]
                if len(rows) == 0:
                    continue
                cells = (anchors[rows] - start) // sizes
                seen = x[images[rows], :, cells // x.shape[3], cells % x.shape[3]]
                found = found.index_copy(0, rows, readout(seen))
            start = end
        return found
