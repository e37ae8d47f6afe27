"""Deformable convolution: a 3x3 convolution whose nine sampling points move by learned offsets.

References:
    v1: Dai et al., ICCV 2017, section 2.1.
    v2, with modulation: Zhu et al., CVPR 2019, section 3.2.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

try:
    from torchvision.ops import deform_conv2d as torchvision_deform_conv2d
except (ImportError, RuntimeError):  # not installed, or built for another version of torch
    torchvision_deform_conv2d = None


OFFSET_LR_MULT = 0.1
"""Learning-rate factor of the layer that predicts offsets and weights; without it, training diverges (Zhu et al.,
section 3.2)."""


class DeformableConv(nn.Conv2d):
    """3x3 convolution of stride 1 with predicted offsets and, if modulated, predicted weights of its samples.

    (B, inputs, H, W) -> (B, outputs, H, W). A plain 3x3 convolution predicts the offsets of the nine samples of each
    cell, and their weights in 0..1. It is initialized to zero, as in both papers. The untrained layer is therefore the
    plain convolution; if modulated, half of it, which a batch norm undoes.

    It uses torchvision's kernel where torchvision is installed, else `deform_conv2d`; the results are equal.
    """

    def __init__(self, inputs: int, outputs: int, *, modulated: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        self.modulated = modulated
        self.offsets = nn.Conv2d(inputs, 27 if modulated else 18, 3, padding=1)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        predicted = self.offsets(x)  # (B, 18 or 27, H, W)
        offsets = predicted[:, :18]
        mask = predicted[:, 18:].sigmoid() if self.modulated else None
        if torchvision_deform_conv2d is None:
            return deform_conv2d(x, self.weight, self.bias, offsets, mask)
        return torchvision_deform_conv2d(x, offsets, self.weight, self.bias, padding=1, mask=mask)


def deform_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, offsets: Tensor, mask: Tensor | None) -> Tensor:
    """Compute a deformable 3x3 convolution of stride 1 and padding 1, by bilinear sampling.

    Args:
        x: (B, inputs, H, W); zeros outside.
        weight: (outputs, inputs, 3, 3).
        bias: (outputs,), or None.
        offsets: (B, 18, H, W) in cells: y, then x, of each of the nine samples, row by row.
        mask: (B, 9, H, W) weights of the samples, or None for 1.

    Returns:
        (B, outputs, H, W).
    """
    height, width = x.shape[-2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None]
    columns = torch.arange(width, dtype=x.dtype, device=x.device)
    total = x.new_zeros(()) if bias is None else bias[:, None, None]
    # Sample by sample: all nine at once would need nine times the memory of the map.
    for sample in range(9):
        row, column = divmod(sample, 3)
        down = rows + (row - 1) + offsets[:, 2 * sample]
        across = columns + (column - 1) + offsets[:, 2 * sample + 1]
        # The center of cell i is at (2 i + 1) / size - 1 in the -1..1 of grid_sample.
        grid = torch.stack([(2 * across + 1) / width - 1, (2 * down + 1) / height - 1], dim=-1)
        sampled = functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        if mask is not None:
            sampled = sampled * mask[:, sample, None]
        total = total + functional.conv2d(sampled, weight[:, :, row, column, None, None])
    return total
