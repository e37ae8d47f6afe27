"""A network that will only look: fused layers in place of those it was trained with, in bfloat16 where that pays.

In bfloat16 a processor that multiplies in it does twice as much in the same time, and half as much has to be moved.
"""

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import nn

from onelook.inference.fast.chain import chained
from onelook.inference.fast.convolution import FineConvolution, fuse_conv
from onelook.inference.fast.folding import fold_batch_norms
from onelook.inference.fast.layers import (
    FusedEnlarging,
    FusedProjection,
    FusedResidual,
    FusedShrinking,
    JoinedHeads,
    Rounding,
    StagedTrunk,
)
from onelook.inference.fast.onednn import NONE, Activation, is_available
from onelook.model.deformable import DeformableConv
from onelook.model.embedding_head import EmbeddingHead, FactoredConv1x1
from onelook.model.joint_network import JointNetwork
from onelook.model.layers import ConvNorm, InvertedResidual
from onelook.model.retinaface import ContextModule, DetectionHeads, MobileNet, RetinaFace, UpsampleAdd
from onelook.settings import Precision

# A ReLU that ends at six.
_CLIPPED: Activation = ("hardtanh", 0.0, 6.0)
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def fastest_precision() -> Precision:
    """bfloat16 where the processor multiplies in it, else float32."""
    known = torch.cpu.get_capabilities()
    return "bfloat16" if known.get("avx512_bf16") or known.get("amx_bf16") else "float32"


def optimize_for_inference(network: JointNetwork, precision: Precision) -> JointNetwork:
    """The network, changed in place so that it looks faster; it cannot be trained or saved afterwards.

    In bfloat16 the layers with the finest maps, whose rounding costs small faces their place, stay float32, as do the
    last ones of each head (`docs/profile.md`). Deformable convolutions, and grids of cells, are float32 always.
    """
    fold_batch_norms(network)
    # Depthwise convolutions are faster with the channels innermost.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if torch.backends.mkldnn.is_available() and isinstance(network.detector, RetinaFace):
        plain = network.settings.conv_sampling == "plain"
        _fuse_joint(network, _TYPES[precision] if plain else torch.float32)
    return network


def _fuse_joint(network: JointNetwork, dtype: torch.dtype) -> None:
    detector, head = network.detector, network.embedding
    assert isinstance(detector, RetinaFace) and isinstance(head, EmbeddingHead)
    _fuse_detector(detector, dtype)
    _fuse_head(head, dtype)


def _fuse_detector(detector: RetinaFace, dtype: torch.dtype) -> None:
    trunk = detector.backbone
    if isinstance(trunk, MobileNet):
        _fuse(trunk, torch.float32, ["stem"])
        _fuse(trunk.blocks, torch.float32, ["0"])
        last = trunk.blocks[0]
    else:
        _fuse(trunk, torch.float32, ["conv1", "layer1"])
        last = trunk.layer1
    assert isinstance(last, nn.Sequential)
    if dtype != torch.float32:
        last.append(Rounding(dtype))  # once for all that read this map
    _fuse(detector, dtype)
    if isinstance(trunk, MobileNet):
        # What calls them wants maps and vectors, however they are made.
        detector.backbone = StagedTrunk([chained(stage) for stage in trunk.stages()])  # type: ignore[assignment]


def _fuse_head(head: EmbeddingHead, dtype: torch.dtype) -> None:
    _fuse(head, dtype, ["tail"])
    head.tail = chained(list(head.tail))  # type: ignore[assignment]
    projection, slopes = head.fuse[0], head.fuse[-1]
    assert isinstance(projection, FactoredConv1x1) and isinstance(slopes, nn.PReLU)
    if is_available():
        head.fuse = nn.Sequential(FusedProjection(projection, dtype, ("prelu", *slopes.weight.tolist())))
    else:
        head.fuse = nn.Sequential(FusedProjection(projection, dtype, NONE), slopes.to(dtype))
    head.shrink = FusedShrinking()
    if dtype == torch.bfloat16 and is_available():
        head.widen = nn.Sequential(FineConvolution(head.widen[0].conv, _CLIPPED))  # type: ignore[arg-type]
    _fuse(head, torch.float32, ["widen", "gather", "out"])


def _fuse(module: nn.Module, dtype: torch.dtype, names: Sequence[str] = (), result: torch.dtype | None = None) -> None:
    """Fuse the children of those names, or all: each with the activation registered after it.

    Results are of the type that is computed in, or of another.
    """
    children = module._modules
    for name, following in zip_longest(children, list(children)[1:]):
        child = children[name]
        if (names and name not in names) or child is None or isinstance(child, DeformableConv):
            continue
        if isinstance(child, DetectionHeads):
            children[name] = JoinedHeads(child)
        elif isinstance(child, InvertedResidual) and child.residual:
            _fuse(child.body, dtype)
            children[name] = FusedResidual(child.body)
        elif isinstance(child, nn.Conv2d):
            children[name] = fuse_conv(child, NONE, dtype)
        elif isinstance(child, ConvNorm) and isinstance(child.conv, nn.Conv2d):
            clipped = following is not None and isinstance(children[following], nn.ReLU6)
            slope = child.leak.negative_slope if "leak" in child._modules else None
            if clipped:
                children[following] = nn.Identity()
            activation = _CLIPPED if clipped else NONE if slope is None else ("leaky_relu", slope)
            children[name] = fuse_conv(child.conv, activation, dtype, result)
        elif isinstance(child, ContextModule):
            _fuse(child, dtype, ["step", "far_step"])
            # The heads read float32: rounded in between, landmarks moved more.
            _fuse(child, dtype, ["near", "middle", "far"], torch.float32)
        elif isinstance(child, UpsampleAdd):
            children[name] = FusedEnlarging()
        else:
            _fuse(child, dtype)
