"""A small recognizer of MobileFaceNet's shape: random weights, as an ONNX file and in torch."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from onelook.settings import TeacherSettings

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
Weights = list[tuple[np.ndarray, np.ndarray]]
"""Weight and bias of each convolution."""

# Weight shape, stride, padding, groups, whether a ReLU6 follows, whether the input of the block is added.
_LAYERS = [
    ((16, 3, 3, 3), 4, 1, 1, True, False),
    *[((32, 16, 1, 1), 1, 0, 1, True, False), ((32, 1, 3, 3), 2, 1, 32, True, False)],
    ((24, 32, 1, 1), 1, 0, 1, False, False),
    *[((48, 24, 1, 1), 1, 0, 1, True, False), ((48, 1, 3, 3), 1, 1, 48, True, False)],
    ((24, 48, 1, 1), 1, 0, 1, False, True),
    *[((48, 24, 1, 1), 1, 0, 1, True, False), ((48, 1, 3, 3), 2, 1, 48, True, False)],
    ((24, 48, 1, 1), 1, 0, 1, False, False),
    ((40, 24, 1, 1), 1, 0, 1, True, False),
    ((40, 1, 7, 7), 1, 0, 40, False, False),
    ((8, 40, 1, 1), 1, 0, 1, False, False),
]


def random_weights(seed: int = 0) -> Weights:
    """Return random weights of the recognizer's convolutions."""
    rng = np.random.default_rng(seed)
    weights = []
    for shape, *_ in _LAYERS:
        weight = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        weights.append((weight, rng.normal(0, 0.2, shape[0]).astype(np.float32)))
    return weights


def run_recognizer(weights: Weights, x: torch.Tensor, first: int = 0) -> torch.Tensor:
    """Compute the layers from number `first` on, in torch."""
    block_input = x
    for (weight, bias), (_, stride, padding, groups, relu6, residual) in zip(
        weights[first:], _LAYERS[first:], strict=True
    ):
        if weight.shape[2] == 1 and relu6:
            block_input = x
        x = functional.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), stride, padding, groups=groups)
        x = x.clip(0, 6) if relu6 else x
        x = x + block_input if residual else x
    return x


def normalize_crops(crops: np.ndarray) -> torch.Tensor:
    """Normalize crops (n, 112, 112, 3) uint8 to the recognizer's input (n, 3, 112, 112)."""
    return torch.from_numpy(((crops - np.array(MEAN)) / np.array(STD)).astype(np.float32).transpose(0, 3, 1, 2))


def random_crops() -> np.ndarray:
    """Return crops (12, 112, 112, 3) uint8."""
    return np.random.default_rng(1).integers(0, 256, (12, 112, 112, 3), dtype=np.uint8)


def write_recognizer(path: Path, weights: Weights) -> TeacherSettings:
    """Write the recognizer as an ONNX file, and return the settings that name it."""
    nodes, values, x, block_input = [], [], "input", "input"
    for i, ((weight, bias), (shape, stride, padding, groups, relu6, residual)) in enumerate(
        zip(weights, _LAYERS, strict=True)
    ):
        values += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        if shape[2] == 1 and relu6:
            block_input = x
        attributes = {
            "strides": [stride] * 2,
            "pads": [padding] * 4,
            "group": groups,
            "kernel_shape": [shape[2], shape[3]],
        }
        nodes.append(helper.make_node("Conv", [x, f"w{i}", f"b{i}"], [f"c{i}"], **attributes))
        x = f"c{i}"
        if relu6:
            nodes.append(helper.make_node("Clip", [x, "low", "high"], [f"a{i}"]))
            x = f"a{i}"
        if residual:
            nodes.append(helper.make_node("Add", [x, block_input], [f"s{i}"]))
            x = f"s{i}"
    values += [numpy_helper.from_array(np.float32(value), name) for value, name in ((0, "low"), (6, "high"))]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 8, 1, 1])],
        values,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return TeacherSettings(path=str(path), mean=MEAN, std=STD, init_tail=True)
