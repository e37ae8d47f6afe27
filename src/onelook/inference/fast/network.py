"""Optimize a trained network for inference: batch-norm folding, channels-last, fused layers and bfloat16."""

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import nn

from onelook.device import check_precision
from onelook.inference.fast.chain import chain_layers
from onelook.inference.fast.convolution import SplitWeightConv, fuse_conv
from onelook.inference.fast.folding import fold_batch_norms
from onelook.inference.fast.layers import (
    CastDtype,
    FastPixelNormalization,
    FusedAvgPool,
    FusedDetectionHeads,
    FusedFactoredConv1x1,
    FusedResidual,
    FusedUpsampleAdd,
    StagedBackbone,
)
from onelook.inference.fast.onednn import NO_ACTIVATION, Activation, is_available
from onelook.inference.fast.sampling import FastSampler, use_fast_sampler
from onelook.model.context import ContextModule, ReceptiveFieldEnhancement
from onelook.model.conv_norm import ConvNorm
from onelook.model.deformable import DeformableConv
from onelook.model.detection_heads import DetectionHeads, FirstStepHeads
from onelook.model.embedding_head import EmbeddingHead, FactoredConv1x1, InvertedResidual
from onelook.model.joint_network import JointNetwork
from onelook.model.retinaface import MobileNetV1, RetinaFace, UpsampleAdd
from onelook.settings import Precision

_RELU6: Activation = ("hardtanh", 0.0, 6.0)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def fastest_precision() -> Precision:
    """Return bfloat16 where the processor has bfloat16 instructions, else float32."""
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def optimize_for_inference(network: JointNetwork, precision: Precision) -> JointNetwork:
    """Optimize a network for inference, in place; it cannot be trained or saved afterwards.

    - Folds batch norms and converts the weights to channels-last memory format, which depthwise convolutions prefer.
    - Replaces the sampler of the embedding head and the pixel normalization by faster equivalents.
    - Fuses activations into convolutions, by oneDNN where the extra `onelook[fast]` is installed, else by torch.
    - With bfloat16, these parts stay float32: the layers with the finest maps, whose rounding lowers AP on small
      faces, the last layers of each head, deformable convolutions, and the grid detector (`docs/profile.md`).

    Raises:
        OnelookError: the precision is float16.
    """
    check_precision(precision, torch.device("cpu"))
    fold_batch_norms(network)
    use_fast_sampler(network)
    network.detector.normalize = FastPixelNormalization(network.detector.normalize)  # type: ignore[assignment]
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if torch.backends.mkldnn.is_available() and isinstance(network.detector, RetinaFace):
        plain = network.settings.conv_sampling == "plain"
        _fuse_joint_network(network, _DTYPES[precision] if plain else torch.float32)
    return network


def _fuse_joint_network(network: JointNetwork, dtype: torch.dtype) -> None:
    detector, head = network.detector, network.embedding
    assert isinstance(detector, RetinaFace) and isinstance(head, EmbeddingHead)
    _fuse_detector(detector, dtype)
    _fuse_embedding_head(head, dtype)


def _fuse_detector(detector: RetinaFace, dtype: torch.dtype) -> None:
    backbone = detector.backbone
    if isinstance(backbone, MobileNetV1):
        _fuse_children(backbone, torch.float32, ["stem"])
        _fuse_children(backbone.blocks, torch.float32, ["0"])
        last = backbone.blocks[0]
    else:
        _fuse_children(backbone, torch.float32, ["conv1", "layer1"])
        last = backbone.layer1
    assert isinstance(last, nn.Sequential)
    if dtype != torch.float32:
        last.append(CastDtype(dtype))  # once for all layers that read this map
    _fuse_children(detector, dtype)
    if isinstance(backbone, MobileNetV1):
        detector.backbone = StagedBackbone([chain_layers(stage) for stage in backbone.stages()])  # type: ignore[assignment]


def _fuse_embedding_head(head: EmbeddingHead, dtype: torch.dtype) -> None:
    _fuse_children(head, dtype, ["tail"])
    head.tail = chain_layers(list(head.tail))  # type: ignore[assignment]
    projection, prelu = head.fusion[0], head.fusion[-1]
    assert isinstance(projection, FactoredConv1x1) and isinstance(prelu, nn.PReLU)
    if is_available():
        head.fusion = nn.Sequential(FusedFactoredConv1x1(projection, dtype, ("prelu", *prelu.weight.tolist())))
    else:
        head.fusion = nn.Sequential(FusedFactoredConv1x1(projection, dtype, NO_ACTIVATION), prelu.to(dtype))
    assert isinstance(head.sampler, FastSampler)
    head.sampler.avg_pool = FusedAvgPool()
    if dtype == torch.bfloat16 and is_available():
        head.expand = nn.Sequential(SplitWeightConv(head.expand[0].conv, _RELU6))  # type: ignore[arg-type]
    _fuse_children(head, torch.float32, ["expand", "gdc", "projection"])


def _fuse_children(
    module: nn.Module, dtype: torch.dtype, names: Sequence[str] = (), output_dtype: torch.dtype | None = None
) -> None:
    """Replace the children of a module by fused layers, recursively.

    Args:
        module: changed in place. A ReLU6 registered after a convolution is fused into it.
        dtype: data type of the weights.
        names: children to replace; all by default.
        output_dtype: data type of the outputs; that of the weights by default.
    """
    children = module._modules
    for name, next_name in zip_longest(children, list(children)[1:]):
        child = children[name]
        if (names and name not in names) or child is None or isinstance(child, DeformableConv):
            continue
        if isinstance(child, DetectionHeads):
            children[name] = FusedDetectionHeads(child)
        elif isinstance(child, InvertedResidual) and child.residual:
            _fuse_children(child.body, dtype)
            children[name] = FusedResidual(child.body)
        elif isinstance(child, nn.Conv2d):
            children[name] = fuse_conv(child, NO_ACTIVATION, dtype)
        elif isinstance(child, ConvNorm) and isinstance(child.conv, nn.Conv2d):
            relu6 = next_name is not None and isinstance(children[next_name], nn.ReLU6)
            slope = child.activation.negative_slope if "activation" in child._modules else None
            if relu6:
                children[next_name] = nn.Identity()
            activation = _RELU6 if relu6 else NO_ACTIVATION if slope is None else ("leaky_relu", slope)
            children[name] = fuse_conv(child.conv, activation, dtype, output_dtype)
        elif isinstance(child, ContextModule):
            _fuse_children(child, dtype, ["conv5x5_1", "conv7x7_2"])
            # The heads read float32; bfloat16 in between moved landmarks further.
            _fuse_children(child, dtype, ["conv3x3", "conv5x5_2", "conv7x7_3"], torch.float32)
        elif isinstance(child, ReceptiveFieldEnhancement):
            for branch in child.branches:
                _fuse_children(branch, dtype, ["0", "1"])
                _fuse_children(branch, dtype, ["2"], torch.float32)
        elif isinstance(child, FirstStepHeads):
            _fuse_children(child, torch.float32)
        elif isinstance(child, UpsampleAdd):
            children[name] = FusedUpsampleAdd()
        else:
            _fuse_children(child, dtype)
