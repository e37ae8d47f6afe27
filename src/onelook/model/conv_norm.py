"""Convolution, batch norm and leaky ReLU, the layer that most networks are built of."""

from torch import nn

from onelook.model.deformable import DeformableConv
from onelook.model.depthwise import Float32DepthwiseConv2d
from onelook.settings import ConvSampling

NEGATIVE_SLOPE = 0.1
"""Negative slope of the leaky ReLUs, as in the public implementations."""


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and leaky ReLU: (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)).

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel, odd, or its height and width.
        stride: of the convolution.
        groups: of the convolution.
        negative_slope: of the leaky ReLU; 0 is a ReLU, None is no activation.
        sampling: of the kernel; a 3x3 of stride 1 may be deformable.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int | tuple[int, int] = 3,
        stride: int = 1,
        groups: int = 1,
        negative_slope: float | None = NEGATIVE_SLOPE,
        sampling: ConvSampling = "plain",
    ) -> None:
        super().__init__()
        self.conv: nn.Conv2d
        if isinstance(kernel, tuple):
            padding = kernel[0] // 2, kernel[1] // 2
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        elif stride > 1 and groups == inputs == outputs:
            self.conv = Float32DepthwiseConv2d(inputs, kernel, stride=stride, padding=kernel // 2)
        elif sampling == "plain":
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        else:
            self.conv = DeformableConv(inputs, outputs, modulated=sampling == "modulated")
        self.norm = nn.BatchNorm2d(outputs)
        if negative_slope is not None:
            self.activation = nn.LeakyReLU(negative_slope, inplace=True)
