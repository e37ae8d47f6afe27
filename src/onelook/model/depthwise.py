"""Depthwise convolution whose gradients are fast in 16 bits on a CPU, too."""

import torch
from torch import Tensor, nn


class Float32DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution that a CPU computes in float32 under autocast.

    The CPU's kernels (oneDNN 3.11) have no fast gradients in bfloat16 where a depthwise convolution has a stride or a
    kernel of the size of its input. Milliseconds of one thread for 64 faces, forward / gradient of the input /
    gradient of the weight (EPYC with AVX-512 BF16):

    | convolution | float32 | bfloat16 |
    |---|---|---|
    | 128 channels, 28 x 28, 3 x 3, stride 2 | 3.7 / 4.6 / 4.9 | 2.4 / 99.8 / 2.1 |
    | 256 channels, 14 x 14, 3 x 3, stride 2 | 2.1 / 2.8 / 2.0 | 1.1 / 89.3 / 0.4 |
    | 512 channels, 7 x 7, 7 x 7, no padding | 0.2 / 0.2 / 7.8 | 0.1 / 0.2 / 22.7 |
    """

    def __init__(self, channels: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, H, W) -> (B, c, h, w), float32 under autocast on a CPU, else of the dtype of a convolution."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)
