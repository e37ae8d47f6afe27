"""Heads with many outputs per anchor, computed at selected anchors only."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from onelook.device import to_device
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
        self.anchors_per_cell = tuple(len(level.sizes) for level in levels)
        self.outputs = outputs
        self.linears = nn.ModuleList(nn.Linear(channels, outputs) for _ in range(sum(self.anchors_per_cell)))

    def forward(self, features: Sequence[Tensor], images: Tensor, anchors: Tensor) -> Tensor:
        """Compute the outputs (k, outputs) of anchors.

        Args:
            features: the head features of a `NetworkOutput`, (B, c, H, W) per level, fine to coarse.
            images: (k,) int64, index of each anchor's image.
            anchors: (k,) int64, index of each anchor in the order of `make_anchors`.
        """
        cells_per_level = tuple(x.shape[2] * x.shape[3] for x in features)
        first_anchors, first_cells, first_layers, counts = _level_starts(
            cells_per_level, self.anchors_per_cell, anchors.device
        )
        level = (anchors[:, None] >= first_anchors[1:]).sum(1)
        in_level, count = anchors - first_anchors[level], counts[level]
        cells = first_cells[level] + in_level.div(count, rounding_mode="floor")
        layers = first_layers[level] + in_level % count
        x = torch.cat([each.flatten(2) for each in features], 2)[images, :, cells]  # (k, c)
        outputs = x.new_zeros(len(anchors), self.outputs)
        for number, linear in enumerate(self.linears):
            own = layers == number
            if own.device.type == "cpu":  # reading is free there, and most layers have few anchors
                rows = own.nonzero()[:, 0]
                # In training, a layer without an anchor has the gradient 0, as on other devices.
                if len(rows) or torch.is_grad_enabled():
                    outputs = outputs.index_copy(0, rows, linear(x[rows]))
            else:
                outputs = torch.where(own[:, None], linear(x), outputs)
        return outputs


@lru_cache(maxsize=64)
def _level_starts(cells: tuple[int, ...], anchors_per_cell: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the first anchor, cell and layer of each level, and its anchors per cell: (4, levels) int64."""
    rows, first_anchor, first_cell, first_layer = [], 0, 0, 0
    for count, per_cell in zip(cells, anchors_per_cell, strict=True):
        rows.append((first_anchor, first_cell, first_layer, per_cell))
        first_anchor, first_cell, first_layer = (
            first_anchor + count * per_cell,
            first_cell + count,
            first_layer + per_cell,
        )
    with torch.inference_mode(False):  # else autograd refuses a tensor that inference has cached
        return to_device(torch.tensor(rows).T.contiguous(), device)
