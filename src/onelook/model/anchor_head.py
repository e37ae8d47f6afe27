"""Linear readouts of the features that anchors see, computed for chosen anchors alone."""

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor, nn

from onelook.geometry.anchors import AnchorLevel


class AnchorHead(nn.Module):
    """One linear readout for each size of anchors; the levels share nothing.

    It is a 1x1 convolution, as the detection heads are, but many outputs wide: so it is computed where it is asked for
    alone, in training at the anchors that answer for a face, in a photo at the faces found.
    """

    def __init__(self, channels: int, levels: Sequence[AnchorLevel], outputs: int) -> None:
        super().__init__()
        self.sizes = [len(level.sizes) for level in levels]
        self.outputs = outputs
        self.readouts = nn.ModuleList(nn.Linear(channels, outputs) for _ in range(sum(self.sizes)))

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor) -> Tensor:
        """(k, outputs) of anchors.

        Args:
            features: the maps the detection heads read, (B, c, H, W) per level, fine to coarse.
            images, anchors: (k,) int64, which image and which of its anchors, in the order of `make_anchors`.
        """
        found = features[0].new_zeros(len(anchors), self.outputs)
        ends = accumulate(x.shape[2] * x.shape[3] * sizes for x, sizes in zip(features, self.sizes, strict=True))
        start, readouts = 0, iter(self.readouts)
        for x, sizes, end in zip(features, self.sizes, ends, strict=True):
            for size in range(sizes):
                readout = next(readouts)
                rows = ((anchors >= start) & (anchors < end) & ((anchors - start) % sizes == size)).nonzero()[:, 0]
                if len(rows) == 0:
                    continue
                cells = (anchors[rows] - start) // sizes
                seen = x[images[rows], :, cells // x.shape[3], cells % x.shape[3]]
                found = found.index_copy(0, rows, readout(seen))
            start = end
        return found
