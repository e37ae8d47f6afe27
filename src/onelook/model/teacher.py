"""A recognizer in an ONNX file.

It teaches by its embeddings, and its last blocks may be where the tail starts from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from onelook.errors import ModelError
from onelook.geometry.alignment import CROP_SIZE
from onelook.model.embedding_head import EmbeddingHead, InvertedResidual
from onelook.settings import TeacherSettings


class Teacher:
    """An ONNX network from aligned crops to embeddings, such as MobileFaceNet.

    Attributes:
        size: length of an embedding.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        """Open the file that `settings` names.

        Raises:
            ModelError: it is missing, no recognizer, or onnxruntime is not installed.
        """
        self._session = _open(_read_graph(settings.path), settings.path)
        shown = self._session.get_inputs()
        if len(shown) != 1 or list(shown[0].shape)[1:] != [3, CROP_SIZE, CROP_SIZE]:
            raise ModelError(
                f"{settings.path}: not a recognizer of aligned crops (3, {CROP_SIZE}, {CROP_SIZE}); name another"
            )
        self._settings = settings
        self.size = self.embed(np.zeros((1, CROP_SIZE, CROP_SIZE, 3), np.uint8)).shape[1]

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embeddings (n, size) float32, L2-normalized, of aligned crops.

        N, 112, 112, 3 uint8.

        Each is the normalized sum of those of the crop and of its mirror image.
        """
        rows = []
        for crop in crops:
            both = [_run(self._session, view, self._settings)[0].ravel() for view in (crop, crop[:, ::-1])]
            total = sum(row / max(float(np.linalg.norm(row)), 1e-12) for row in both)
            rows.append(total / max(float(np.linalg.norm(total)), 1e-12))
        return np.asarray(rows, np.float32)


class _Convolution(NamedTuple):
    """A convolution of the recognizer.

    And the mean and variance of what it puts out on faces, per channel.
    """

    weight: Tensor
    bias: Tensor
    stride: int
    mean: Tensor
    variance: Tensor


def _our_stages(head: EmbeddingHead) -> list[list[InvertedResidual]]:
    stages: list[list[InvertedResidual]] = []
    for block in head.tail:
        assert isinstance(block, InvertedResidual)
        if not block.residual:
            stages.append([])
        stages[-1].append(block)
    return stages


def _their_stages(convolutions: Sequence[_Convolution]) -> list[list[Sequence[_Convolution]]]:
    """Triples of expanding, depthwise and projecting convolutions.

    In stages that each start by halving the map.

    They are counted from the end: what the network starts with need not be made of such triples.
    """
    stages: list[list[Sequence[_Convolution]]] = [[]]
    for end in range(len(convolutions), 2, -3):
        triple = convolutions[end - 3 : end]
        if triple[1].weight.shape[1] != 1 or triple[0].weight.shape[-1] != 1 or triple[2].weight.shape[-1] != 1:
            break
        stages[0].insert(0, triple)
        if triple[1].stride == 2:
            stages.insert(0, [])
    return stages[1:]


def _put_block(block: InvertedResidual, triple: Sequence[_Convolution]) -> None:
    expand, depthwise, project = triple
    inner = block.inner_channels
    # How much of the block's output each inner channel makes: its spread times the weights it is read with.
    share = project.weight.flatten(1).norm(dim=0) * depthwise.variance.sqrt()
    if inner > len(share):
        raise ValueError(f"a block is {inner} channels wide inside, the recognizer's {len(share)}")
    kept = share.topk(inner).indices.sort().values
    expand, depthwise = (
        _Convolution(c[0][kept], c[1][kept], c[2], c[3][kept], c[4][kept]) for c in (expand, depthwise)
    )
    project = project._replace(weight=project.weight[:, kept])
    for place, convolution in zip((0, 2, 4), (expand, depthwise, project), strict=True):
        _put(block.body[place].conv, block.body[place].norm, convolution)


def _put(layer: Any, norm: Any, convolution: _Convolution) -> None:
    """A convolution into one without bias and its batch norm.

    So that together they do what it did on faces.
    """
    if layer.weight.shape != convolution.weight.shape:
        raise ValueError(f"{tuple(convolution.weight.shape)} where {tuple(layer.weight.shape)} is needed")
    nn.init.zeros_(layer.weight).add_(convolution.weight)
    norm.running_mean.copy_(convolution.mean)
    norm.running_var.copy_(convolution.variance)
    norm.weight.copy_((convolution.variance + norm.eps).sqrt())
    norm.bias.copy_(convolution.mean + convolution.bias)


def _convolutions(settings: TeacherSettings, crops: np.ndarray) -> list[_Convolution]:
    """Every convolution of the recognizer in order.

    With the statistics of its output (without bias) on `crops`.
    """
    model = _read_graph(settings.path)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in nodes)
    session = _open(model, settings.path)
    sums = [np.zeros((2, values[node.input[1]].shape[0])) for node in nodes]
    for crop in crops:
        for total, output in zip(sums, _run(session, crop, settings), strict=True):
            pixels = output[0].reshape(output.shape[1], -1).astype(np.float64)
            total += [pixels.mean(1), (pixels**2).mean(1)]
    found = []
    for node, (mean, square) in zip(nodes, (total / len(crops) for total in sums), strict=True):
        weight = values[node.input[1]]
        bias = values[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        stride = next((a.ints[0] for a in node.attribute if a.name == "strides"), 1)
        spread = np.clip(square - mean**2, 0, None)
        tensors = [torch.from_numpy(np.array(x, np.float32)) for x in (weight, bias, mean - bias, spread)]
        found.append(_Convolution(tensors[0], tensors[1], stride, tensors[2], tensors[3]))
    return found


def _read_graph(path: str) -> onnx.ModelProto:
    try:
        return onnx.load(Path(path))
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path}: not an ONNX file that can be read; set teacher.path to a recognizer's") from error


def _open(model: onnx.ModelProto, path: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("teacher.path needs onnxruntime: pip install 'onelook[teacher]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options)
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise ModelError(f"{path}: onnxruntime cannot run it ({' '.join(str(error).split())[:200]})") from error


def _run(session: Any, crop: np.ndarray, settings: TeacherSettings) -> list[np.ndarray]:
    """All outputs for one crop.

    One at a time, since published recognizers often have their batch size fixed at 1.
    """
    image = (crop.astype(np.float32) - np.array(settings.mean, np.float32)) / np.array(settings.std, np.float32)
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: image.transpose(2, 0, 1)[None].copy()})
    return outputs
