"""Face recognizers of others, from aligned crops to embeddings: the second stage of the peers."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onelook.geometry.alignment import CROP_SIZE
from onelook.onnx_session import open_session

MOBILEFACENET, EDGEFACE_XXS = "weights/mobilefacenet.onnx", "weights/edgeface_xxs_q.onnx"
EDGEFACE_XS = "weights/edgeface_xs_gamma06.tflite"
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
HALF_RANGE = (127.5, 127.5, 127.5)

Embedder = Callable[[np.ndarray], np.ndarray]
"""Maps crops (n, 112, 112, 3) RGB uint8 to embeddings (n, d) float32, not normalized."""


def mobilefacenet(data: Path, threads: int, *, batched: bool = True) -> Embedder:
    """Open MobileFaceNet: 128 dimensions, ImageNet normalization."""
    return open_onnx_recognizer(data / MOBILEFACENET, IMAGENET_MEAN, IMAGENET_STD, threads, batched=batched)


def edgeface_xxs(data: Path, threads: int) -> Embedder:
    """Open EdgeFace-XXS (George et al. 2024): 512 dimensions."""
    return open_onnx_recognizer(data / EDGEFACE_XXS, HALF_RANGE, HALF_RANGE, threads)


def has_tflite() -> bool:
    """Return True if the interpreter of `edgeface_xs` is installed (the extra `onelook[mesh]`)."""
    return find_spec("ai_edge_litert") is not None


def edgeface_xs(data: Path, threads: int) -> Embedder:
    """Open EdgeFace-XS with low-rank factor 0.6: 512 dimensions, a TFLite file that takes one crop at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_path=str(data / EDGEFACE_XS), num_threads=threads)
    interpreter.allocate_tensors()
    source, target = (
        details()[0]["index"] for details in (interpreter.get_input_details, interpreter.get_output_details)
    )

    def embed(crops: np.ndarray) -> np.ndarray:
        rows = []
        for crop in normalize(crops, HALF_RANGE, HALF_RANGE):
            interpreter.set_tensor(source, crop[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(target).ravel().copy())
        return np.array(rows, np.float32)

    return embed


def open_onnx_recognizer(
    path: Path, mean: tuple[float, ...], std: tuple[float, ...], threads: int, *, batched: bool = True
) -> Embedder:
    """Open a recognizer of crops (n, 3, 112, 112) in onnxruntime on the CPU.

    Args:
        path: ONNX file.
        mean, std: normalization of the RGB channels, in 0..255.
        threads: of one operator.
        batched: False embeds one crop at a time, as a file of a fixed batch size does.

    Raises:
        ModelError: the file cannot be run, or onnxruntime is not installed.
    """
    model = onnx.load(path)
    if batched:
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_param = "batch"
    session = open_session(
        model.SerializeToString(), source=str(path), hint="download it again", device="cpu", threads=threads
    )
    name = session.get_inputs()[0].name

    def embed(crops: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(normalize(crops, mean, std).transpose(0, 3, 1, 2))
        parts = [pixels] if batched else np.split(pixels, len(pixels))
        return np.concatenate([session.run(None, {name: part})[0].reshape(len(part), -1) for part in parts])

    return embed


def normalize(crops: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Normalize crops (n, 112, 112, 3) uint8 to float32."""
    assert crops.shape[1:] == (CROP_SIZE, CROP_SIZE, 3)
    return (crops.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
