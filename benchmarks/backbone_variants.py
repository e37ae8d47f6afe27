"""Backbones with cheaper early layers, in place of the released one.

A helper of backbone_shapes.py.

Every shape is a `MobileNet` with other layers in the same places, so that inference optimizes it as any other. A block
that is left out is an empty sequence.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from onelook.model.conv_norm import NEGATIVE_SLOPE, ConvNorm
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import FEATURE_STRIDES, PIXEL_CHANNELS, DepthwiseSeparable
from onelook.model.serialization import load_model

# Channels around the first four blocks of the slim backbone; released they are 8, 16, 32, 32, 64.
_SLIM = (8, 8, 16, 16, 64)
_BACKBONE, _PROJECTION = "detector.backbone", "embedding.fusion.0"


class Shape(NamedTuple):
    """Changes to the released backbone.

    `stem` are the kernel sizes of the branches that make one convolution of `stride` in place of the stem and the
    blocks before the next one left; none: the stem stays. `new` are the modules that start from random weights.
    """

    label: str
    stem: tuple[int, ...] = ()
    stride: int = 2
    removed_blocks: tuple[int, ...] = ()
    slim: bool = False
    new: tuple[str, ...] = ()
    distill: bool = True


_STEM = (f"{_BACKBONE}.stem",)
_FEWER = tuple(f"{_BACKBONE}.blocks.{number}" for number in (6, 8, 10))
REFERENCE = "released"
SHAPES = {
    REFERENCE: Shape("as released", distill=False),
    "one-stem": Shape("stem and first block as one 3x3", (3, 3, 1), removed_blocks=(0,), new=_STEM),
    "one-stem-5x5": Shape("… as one 5x5", (5, 3, 1), removed_blocks=(0,), new=_STEM, distill=False),
    "slim": Shape(
        "half the channels at strides 2 and 4",
        slim=True,
        new=(*(f"{_BACKBONE}.blocks.{number}" for number in range(4)), _PROJECTION),
    ),
    "strided": Shape(
        "one 5x5 to stride 4, no map of stride 2", (5, 3, 1), stride=4, removed_blocks=(0, 1), new=(*_STEM, _PROJECTION)
    ),
    "shallow": Shape("three blocks instead of five at stride 16", removed_blocks=(7, 9), new=_FEWER),
    "one-stem-shallow": Shape("one 3x3, three blocks", (3, 3, 1), removed_blocks=(0, 7, 9), new=(*_STEM, *_FEWER)),
}


class Branches(nn.Module):
    """Convolutions of several sizes of the same input, each with a batch norm.

    Summed; then a leaky ReLU.

    RepVGG (Ding et al., CVPR 2021, section 3): trained as branches, they fold into one convolution.
    (B, in, H, W) -> (B, out, ceil(H / s), ceil(W / s)).

    Args:
        inputs, outputs: channels.
        kernels: odd sides of the branches' kernels.
        stride: of all of them.
    """

    def __init__(self, inputs: int, outputs: int, kernels: Sequence[int], stride: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            ConvNorm(inputs, outputs, kernel=kernel, stride=stride, negative_slope=None) for kernel in kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(sum((branch(x) for branch in self.branches), torch.zeros(())), NEGATIVE_SLOPE)

    def folded(self) -> ConvNorm:
        """Return one equivalent convolution; the branches must be in evaluation mode."""
        branches: Any = self.branches
        parts: Any = [fuse_conv_bn_eval(branch.conv, branch.norm) for branch in branches]
        side = max(part.kernel_size[0] for part in parts)
        first = parts[0]
        whole: Any = ConvNorm(first.in_channels, first.out_channels, kernel=side, stride=first.stride[0])
        whole.conv = nn.Conv2d(first.in_channels, first.out_channels, side, first.stride, side // 2)
        whole.norm = nn.Identity()
        with torch.no_grad():
            # A smaller kernel is a large one with zeros around it: all are centerd on the same pixel.
            enlarged = [functional.pad(part.weight, [(side - part.kernel_size[0]) // 2] * 4) for part in parts]
            whole.conv.weight.copy_(torch.stack(enlarged).sum(0))
            whole.conv.bias.copy_(torch.stack([part.bias for part in parts]).sum(0))
        folded: ConvNorm = whole.eval()
        return folded


def build(shape: Shape) -> JointNetwork:
    """Return the released network with another backbone; weights that fit are kept."""
    released: Any = load_model(RELEASED)
    settings = released.settings
    if shape.stride > 2:
        strides = tuple(each for each in settings.embedding.strides if each >= shape.stride)
        settings = settings.model_copy(update={"embedding": settings.embedding.model_copy(update={"strides": strides})})
    network: Any = JointNetwork(settings)
    backbone = network.detector.backbone
    if shape.stem:
        following = next(number for number in range(len(backbone.blocks)) if number not in shape.removed_blocks)
        outputs = backbone.blocks[following][0].conv.in_channels
        backbone.stem = Branches(3, outputs, shape.stem, shape.stride)
    if shape.slim:
        for number, (inputs, outputs) in enumerate(pairwise(_SLIM)):
            backbone.blocks[number] = DepthwiseSeparable(inputs, outputs, stride=1 + number % 2)
        backbone.channels = (_SLIM[1], _SLIM[3], *backbone.channels[2:])
        widths = (PIXEL_CHANNELS, *backbone.channels[:2], *[settings.fpn_channels] * 2)
        network.embedding = EmbeddingHead(dict(zip(FEATURE_STRIDES, widths, strict=True)), settings.embedding)
    for number in shape.removed_blocks:
        backbone.blocks[number] = nn.Sequential()
    _take(network, released)
    _project(network.embedding, released.embedding)
    return network.eval()


def folded(network: JointNetwork) -> JointNetwork:
    """Fold the branches of the network's stem, in place, and return it."""
    backbone: Any = network.detector.backbone
    if isinstance(backbone.stem, Branches):
        backbone.stem = backbone.stem.folded()
    return network


def multiply_adds(network: JointNetwork, height: int, width: int) -> int:
    """Count the multiply-adds of a backbone for an image of that size."""
    counts = []

    def count(module: Any, _: Any, output: Tensor) -> None:
        counts.append(output[0].numel() * module.weight[0].numel())

    backbone: Any = network.detector.backbone
    hooks = [module.register_forward_hook(count) for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    with torch.inference_mode():
        backbone(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def _take(network: nn.Module, released: nn.Module) -> None:
    """Copy released weights of equal shape.

    And every second channel where half of them are left.
    """
    known = released.state_dict()
    own = network.state_dict()
    for name, value in own.items():
        if name in known and name != f"{_PROJECTION}.weight":
            steps = (
                slice(None, None, before // after) for before, after in zip(known[name].shape, value.shape, strict=True)
            )
            own[name] = known[name][tuple(steps)].reshape(value.shape)
    network.load_state_dict(own)


def _project(head: EmbeddingHead, released: EmbeddingHead) -> None:
    """Fill the projection of the samples.

    Of a map with half the channels every second one counts twice.
    """
    kernel, matrices = _split_weight(released)
    own, others = _split_weight(head)
    with torch.no_grad():
        if len(others) < len(matrices):  # the finest map is gone: the next one is read 2x2 samples at a time
            own.copy_(matrices[0].T[:, :, None, None].expand_as(own) / 4)
            matrices = matrices[1:]
        else:
            own.copy_(kernel[:, :: kernel.shape[1] // own.shape[1]] * (kernel.shape[1] // own.shape[1]))
        for mine, theirs in zip(others, matrices, strict=True):
            share = len(theirs) // len(mine)
            mine.copy_(theirs[::share] * share)


def _split_weight(head: Any) -> tuple[Tensor, list[Tensor]]:
    """Return views of the finest map's kernel (outputs, c, 2, 2), and of the others' matrices (c, outputs)."""
    convolution = head.fusion[0]
    finest, *others = convolution.weight.split(convolution.split_sizes, 1)
    return finest.unflatten(1, (-1, 2, 2)).flatten(3), [other.flatten(1).T for other in others]
