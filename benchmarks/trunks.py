"""Trunks whose early layers cost less, in place of the released one. No benchmark by itself.

Every shape is a `MobileNet` with other layers in the same places, so that a network with it is made ready and looks as
any other: a block that is left out is an empty sequence.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from onelook.model.embedding_head import EmbeddingHead
from onelook.model.joint_network import JointNetwork
from onelook.model.layers import NEGATIVE_SLOPE, ConvNorm, DepthwiseSeparable
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import MAP_STRIDES
from onelook.model.serialization import load_model

# Channels around the first four blocks of the slim trunk; released they are 8, 16, 32, 32, 64.
_SLIM = (8, 8, 16, 16, 64)
_TRUNK, _PROJECTION = "detector.trunk", "embedding.fuse.0"


class Shape(NamedTuple):
    """What is done to the released trunk.

    `stem` are the kernel sizes of the branches that make one convolution of `stride` in place of the stem and the
    blocks before the next one left; none: the stem stays. `new` are the modules that start anew.
    """

    told: str
    stem: tuple[int, ...] = ()
    stride: int = 2
    left_out: tuple[int, ...] = ()
    slim: bool = False
    new: tuple[str, ...] = ()
    trained: bool = True


_STEM = (f"{_TRUNK}.stem",)
_FEWER = tuple(f"{_TRUNK}.blocks.{number}" for number in (6, 8, 10))
REFERENCE = "released"
SHAPES = {
    REFERENCE: Shape("as released", trained=False),
    "one-stem": Shape("stem and first block as one 3x3", (3, 3, 1), left_out=(0,), new=_STEM),
    "one-stem-5x5": Shape("… as one 5x5", (5, 3, 1), left_out=(0,), new=_STEM, trained=False),
    "slim": Shape(
        "half the channels at strides 2 and 4",
        slim=True,
        new=(*(f"{_TRUNK}.blocks.{number}" for number in range(4)), _PROJECTION),
    ),
    "strided": Shape(
        "one 5x5 to stride 4, no map of stride 2", (5, 3, 1), stride=4, left_out=(0, 1), new=(*_STEM, _PROJECTION)
    ),
    "shallow": Shape("three blocks instead of five at stride 16", left_out=(7, 9), new=_FEWER),
    "one-stem-shallow": Shape("one 3x3, three blocks", (3, 3, 1), left_out=(0, 7, 9), new=(*_STEM, *_FEWER)),
}


class Branches(nn.Module):
    """Convolutions of several sizes of the same input, each with a batch norm, summed; then a leaky ReLU.

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
            ConvNorm(inputs, outputs, kernel=kernel, stride=stride, leak=None) for kernel in kernels
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(sum((branch(x) for branch in self.branches), torch.zeros(())), NEGATIVE_SLOPE)

    def folded(self) -> ConvNorm:
        """One convolution that does the same; the branches must be in evaluation mode."""
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
    """The released network with another trunk; what fits it keeps the released weights, the rest starts from them."""
    released: Any = load_model(RELEASED)
    settings = released.settings
    if shape.stride > 2:
        strides = tuple(each for each in settings.embedding.strides if each >= shape.stride)
        settings = settings.model_copy(update={"embedding": settings.embedding.model_copy(update={"strides": strides})})
    network: Any = JointNetwork(settings)
    trunk = network.detector.trunk
    if shape.stem:
        following = next(number for number in range(len(trunk.blocks)) if number not in shape.left_out)
        outputs = trunk.blocks[following][0].conv.in_channels
        trunk.stem = Branches(3, outputs, shape.stem, shape.stride)
    if shape.slim:
        for number, (inputs, outputs) in enumerate(pairwise(_SLIM)):
            trunk.blocks[number] = DepthwiseSeparable(inputs, outputs, stride=1 + number % 2)
        trunk.channels = (_SLIM[1], _SLIM[3], *trunk.channels[2:])
        widths = (*trunk.channels[:2], *[settings.pyramid] * 2)
        network.embedding = EmbeddingHead(dict(zip(MAP_STRIDES, widths, strict=True)), settings.embedding)
    for number in shape.left_out:
        trunk.blocks[number] = nn.Sequential()
    _take(network, released)
    _project(network.embedding, released.embedding)
    return network.eval()


def folded(network: JointNetwork) -> JointNetwork:
    """The network with the branches of its stem folded, in place."""
    trunk: Any = network.detector.trunk
    if isinstance(trunk.stem, Branches):
        trunk.stem = trunk.stem.folded()
    return network


def multiply_adds(network: JointNetwork, height: int, width: int) -> int:
    """How often a trunk multiplies and adds for an image of that size."""
    counts = []

    def count(module: Any, _: Any, output: Tensor) -> None:
        counts.append(output[0].numel() * module.weight[0].numel())

    trunk: Any = network.detector.trunk
    hooks = [module.register_forward_hook(count) for module in trunk.modules() if isinstance(module, nn.Conv2d)]
    with torch.inference_mode():
        trunk(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def _take(network: nn.Module, released: nn.Module) -> None:
    """Released weights where their shape is the same, every second channel of them where half of them are left."""
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
    """Fill the projection of the samples: of a map with half the channels every second one counts twice."""
    kernel, matrices = (part for part in _projection(released).split())
    own, others = _projection(head).split()
    with torch.no_grad():
        if len(others) < len(matrices):  # the finest map is gone: the next one is read 2x2 samples at a time
            own.copy_(matrices[0].T[:, :, None, None].expand_as(own) / 4)
            matrices = matrices[1:]
        else:
            own.copy_(kernel[:, :: kernel.shape[1] // own.shape[1]] * (kernel.shape[1] // own.shape[1]))
        for mine, theirs in zip(others, matrices, strict=True):
            share = len(theirs) // len(mine)
            mine.copy_(theirs[::share] * share)


def _projection(head: Any) -> Any:
    return head.fuse[0]
