"""Deformable convolution.

Each of the nine samples of a 3x3 is taken where the map itself says.

Dai et al., ICCV 2017, section 2.1 (v1), and Zhu et al., CVPR 2019, section 3.2 (v2, modulated).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

try:
    from torchvision.ops import deform_conv2d
except (ImportError, RuntimeError):  # absent, or built for another torch
    deform_conv2d = None


OFFSET_LR_MULT = 0.1
"""Share of the learning rate for what says offsets and weights (Zhu et al., section 3.2); without it they run away."""


class DeformableConv(nn.Conv2d):
    """A 3x3 convolution of stride 1 with learned offsets and, if modulated.

    Weights of its samples.

    A convolution of its own gives, for each cell, the offsets of the nine samples, and their weights in 0..1. It starts
    at zero, as in both papers: the untrained deformable convolution is the plain one, and the untrained modulated one
    half of it, of which a batch norm leaves nothing.

    Where torchvision can be imported its kernel does the work, else `deformed`; both give the same.

    (B, inputs, H, W) -> (B, outputs, H, W).
    """

    def __init__(self, inputs: int, outputs: int, *, modulated: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        self.modulated = modulated
        self.offsets = nn.Conv2d(inputs, 27 if modulated else 18, 3, padding=1)
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        said = self.offsets(x)
        mask = said[:, 18:].sigmoid() if self.modulated else None
        if deform_conv2d is None:
            return deformed(x, self.weight, self.bias, said[:, :18], mask)
        return deform_conv2d(x, said[:, :18], self.weight, self.bias, padding=1, mask=mask)


def deformed(x: Tensor, weight: Tensor, bias: Tensor | None, offsets: Tensor, mask: Tensor | None) -> Tensor:
    """A 3x3 convolution of stride 1 and padding 1 whose samples are moved.

    By bilinear sampling.

    Args:
        x: (B, inputs, H, W); outside it all is 0.
        weight: (outputs, inputs, 3, 3).
        bias: (outputs,), or None.
        offsets: (B, 18, H, W) in cells: y, then x, of each of the nine samples, row by row.
        mask: (B, 9, H, W), what each sample is multiplied by; None: by 1.

    Returns:
        (B, outputs, H, W).
    """
    height, width = x.shape[-2:]
    rows = torch.arange(height, dtype=x.dtype, device=x.device)[:, None]
    columns = torch.arange(width, dtype=x.dtype, device=x.device)
    total = x.new_zeros(()) if bias is None else bias[:, None, None]
    # One sample after the other: all nine together would need nine times the memory of the map.
    for sample in range(9):
        row, column = divmod(sample, 3)
        down = rows + (row - 1) + offsets[:, 2 * sample]
        across = columns + (column - 1) + offsets[:, 2 * sample + 1]
        # The middle of cell i lies at (2 i + 1) / size - 1 of grid_sample's -1..1.
        grid = torch.stack([(2 * across + 1) / width - 1, (2 * down + 1) / height - 1], dim=-1)
        moved = functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        if mask is not None:
            moved = moved * mask[:, sample, None]
        total = total + functional.conv2d(moved, weight[:, :, row, column, None, None])
    return total
