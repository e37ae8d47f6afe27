"""Deformable convolution: a 3x3 convolution whose nine sampling points move by learned offsets.

References:
    v1: Dai et al., ICCV 2017, section 2.1.
    v2, with modulation: Zhu et al., CVPR 2019, section 3.2.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from onelook.model.feature_sampler import sample_levels

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

    It uses torchvision's kernel where torchvision is installed, else and in deterministic training on a device other
    than the CPU `deform_conv2d`; the results are equal.
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
        # CUDA refuses the backward pass of torchvision's kernel in deterministic runs.
        is_refused = torch.is_grad_enabled() and x.device.type != "cpu" and torch.are_deterministic_algorithms_enabled()
        if torchvision_deform_conv2d is None or is_refused:
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
    rows = torch.arange(x.shape[2], dtype=x.dtype, device=x.device)[:, None]
    columns = torch.arange(x.shape[3], dtype=x.dtype, device=x.device)
    total = x.new_zeros(()) if bias is None else bias[:, None, None]
    # Sample by sample: all nine at once would need nine times the memory of the map.
    for sample in range(9):
        row, column = divmod(sample, 3)
        down = rows + (row - 1) + offsets[:, 2 * sample]
        across = columns + (column - 1) + offsets[:, 2 * sample + 1]
        sampled = _sample(x, torch.stack([across + 0.5, down + 0.5], dim=-1))
        if mask is not None:
            sampled = sampled * mask[:, sample, None]
        total = total + functional.conv2d(sampled, weight[:, :, row, column, None, None])
    return total


def _sample(x: Tensor, points: Tensor) -> Tensor:
    """Sample maps (B, c, H, W) bilinearly at points (B, h, w, 2), x and y in cells; zeros outside."""
    if x.device.type == "cpu":
        size = points.new_tensor([x.shape[3], x.shape[2]])
        return functional.grid_sample(x, 2 * points / size - 1, align_corners=False)
    # CUDA refuses the backward pass of grid_sample in deterministic runs.
    images = torch.arange(len(x), device=x.device)
    return sample_levels([x], [1], torch.ones_like(images), points, images).permute(0, 3, 1, 2)
