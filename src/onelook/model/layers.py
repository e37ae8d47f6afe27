"""The blocks the network is made of."""

from typing import NamedTuple

from torch import Tensor, nn

from onelook.model.deformable import DeformableConv
from onelook.settings import ConvSampling

# Slope of RetinaFace's light network (its public implementations).
NEGATIVE_SLOPE = 0.1


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and, unless `leak` is None, a leaky ReLU. (B, in, H, W) -> (B, out, H/s, W/s).

    A 3x3 of stride 1 may be deformable by its `sampling`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        leak: float | None = NEGATIVE_SLOPE,
        sampling: ConvSampling = "plain",
    ) -> None:
        super().__init__()
        if sampling == "plain":
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        else:
            self.conv = DeformableConv(inputs, outputs, modulated=sampling == "modulated")
        self.norm = nn.BatchNorm2d(outputs)
        if leak is not None:
            self.leak = nn.LeakyReLU(leak, inplace=True)


class DepthwiseSeparable(nn.Sequential):
    """MobileNet's block (Howard et al. 2017): depthwise 3x3, then pointwise. (B, in, H, W) -> (B, out, H/s, W/s)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, stride=stride, groups=inputs),
            ConvNorm(inputs, outputs, kernel=1),
        )


class InvertedResidual(nn.Module):
    """MobileNetV2's block as MobileFaceNet uses it (Chen et al. 2018): expand, depthwise 3x3, project.

    ReLU6 as the recognizer has it that a tail may start from (`onelook.model.teacher`).

    (B, in, H, W) -> (B, out, H/s, W/s); the input is added where the shape stays the same.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, expansion: int = 2) -> None:
        super().__init__()
        self.inner = inner = inputs * expansion
        self.body = nn.Sequential(
            ConvNorm(inputs, inner, kernel=1, leak=None),
            nn.ReLU6(inplace=True),
            ConvNorm(inner, inner, stride=stride, groups=inner, leak=None),
            nn.ReLU6(inplace=True),
            ConvNorm(inner, outputs, kernel=1, leak=None),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).add_(x) if self.residual else self.body(x)


class BackboneFeatures(NamedTuple):
    """The trunk's maps at strides 2, 4, 8, 16 and 32, each (B, channels, ceil(H / stride), ceil(W / stride))."""

    c1: Tensor
    c2: Tensor
    c3: Tensor
    c4: Tensor
    c5: Tensor
