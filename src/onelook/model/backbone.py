"""The trunk: MobileNetV1 (Howard et al. 2017) as RetinaFace's light network has it."""

from typing import NamedTuple

from torch import Tensor, nn

from onelook.model.layers import ConvNorm, DepthwiseSeparable


class TrunkMaps(NamedTuple):
    """The trunk's maps at strides 2, 4, 8, 16 and 32, each (B, channels, ceil(H / stride), ceil(W / stride))."""

    c1: Tensor
    c2: Tensor
    c3: Tensor
    c4: Tensor
    c5: Tensor


# Output channels at width 1 and stride of each depthwise separable block after the stem.
_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
_ENDS = (1, 3, 5, 11, 13)


class MobileNet(nn.Module):
    """(B, 3, H, W) -> TrunkMaps. `channels` are those of its five maps."""

    def __init__(self, width: float) -> None:
        super().__init__()
        sizes = [max(1, round(outputs * width)) for outputs, _ in _BLOCKS]
        stem = max(1, round(32 * width))
        self.stem = ConvNorm(3, stem, stride=2)
        self.blocks = nn.ModuleList(
            DepthwiseSeparable(inputs, outputs, stride=stride)
            for inputs, outputs, (_, stride) in zip([stem, *sizes], sizes, _BLOCKS, strict=False)
        )
        self.channels = tuple(sizes[end - 1] for end in _ENDS)

    def forward(self, images: Tensor) -> TrunkMaps:
        x, maps = images, []
        for stage in self.stages():
            for layer in stage:
                x = layer(x)
            maps.append(x)
        return TrunkMaps(*maps)

    def stages(self) -> list[list[nn.Module]]:
        """The layers that lead from the photo to the first map, from there to the second, and so on."""
        layers = [self.stem, *self.blocks]
        # A stage ends with the block of that number; the stem is number 0.
        starts = [0, *(end + 1 for end in _ENDS)]
        return [layers[start : end + 1] for start, end in zip(starts, _ENDS, strict=False)]
