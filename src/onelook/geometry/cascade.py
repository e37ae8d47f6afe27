"""A cascade of regressions: the second one starts from the boxes of the first, as if they were its anchors."""

from math import log

import torch
from torch import Tensor

from onelook.geometry.boxes import CENTRE_VARIANCE, SIZE_VARIANCE

# An untrained first stage must not send the second one to boxes of no size or of infinite size: largest change of the
# logarithm of a side, as detectors with two stages have it (1000 / 16, Detectron).
_LARGEST_CHANGE = log(1000 / 16)


def refined_anchors(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Where offsets (B, n, 4) lead from anchors (n, 4): again anchors (B, n, 4; centre x, centre y, width, height).

    In pixels, as `onelook.geometry.boxes.decode_boxes` has it, without gradient: what starts from them does not teach
    the stage before it.
    """
    offsets = offsets.detach()
    sizes = anchors[:, 2:]
    changes = (offsets[..., 2:] * SIZE_VARIANCE).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
    centres = anchors[:, :2] + offsets[..., :2] * CENTRE_VARIANCE * sizes
    return torch.cat([centres, sizes * changes.exp()], dim=-1)
