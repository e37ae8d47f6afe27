"""Face recognizers in ONNX and TFLite files, from aligned crops to embeddings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch

from onelook.errors import ModelError, is_out_of_memory
from onelook.geometry.alignment import align_crop
from onelook.onnx_session import open_session
from onelook.settings import RecognizerSettings
from onelook.untrusted import one_line
from onelook.workspace import workspace_path

_HINT = "set teacher.path to a recognizer's"

Network = Callable[[np.ndarray], np.ndarray]
"""Maps normalized crops to the network's outputs, both with the batch first."""


class Recognizer:
    """A recognizer from aligned crops to embeddings, such as MobileFaceNet or EdgeFace.

    Attributes:
        dim: length of an embedding.
    """

    def __init__(self, settings: RecognizerSettings, device: str = "auto") -> None:
        """Open the recognizer.

        Args:
            settings: file of the recognizer, its aligned crop and the normalization of its input.
            device: name of the device of an ONNX network, see `onelook.onnx_session.open_session`; TFLite runs on the
                CPU.

        Raises:
            ModelError: the file is missing or not a recognizer, or its library is not installed.
            OnelookError: onnxruntime cannot use the named card.
        """
        self._settings = settings
        is_tflite = settings.path.endswith(".tflite")
        self._network, shape = _open_tflite(settings.path) if is_tflite else _open_onnx(settings.path, device)
        side = settings.size
        if shape[1:] not in ([3, side, side], [side, side, 3]):
            raise ModelError(
                f"{settings.path}: not a recognizer of aligned crops (3, {side}, {side}), its input is "
                f"{tuple(shape)}; set teacher.size, or name another"
            )
        self._channels_last = shape[-1] == 3
        # Exporters give a free batch a name, or a size of -1; many published recognizers have a fixed batch of 1.
        self._batched = not isinstance(shape[0], int) or shape[0] < 1
        self.dim = self.embed(np.zeros((1, side, side, 3), np.uint8)).shape[1]

    def align(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Warp a face of an image (H, W, 3) uint8, given by landmarks (5, 2), to this recognizer's crop.

        Returns:
            (size, size, 3) uint8.
        """
        template = None if self._settings.template is None else np.array(self._settings.template)
        return align_crop(image, landmarks, self._settings.size, template)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed aligned crops (n, size, size, 3) uint8, each averaged with its mirror image.

        Returns:
            (n, dim) float32, L2-normalized.

        Raises:
            ModelError: the network cannot be run, or its outputs are not finite.
        """
        try:
            views = [normalize_rows(self._run(view)) for view in (crops, crops[:, :, ::-1])]
        except Exception as error:  # onnxruntime, the interpreter and NumPy raise exceptions of many types
            if is_out_of_memory(error):
                raise
            raise ModelError(f"{self._settings.path}: cannot be run ({one_line(error)}); {_HINT}") from error
        return normalize_rows(views[0] + views[1])

    def _run(self, crops: np.ndarray) -> np.ndarray:
        images = normalize_crops(crops, self._settings)
        if self._channels_last:
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        batches = [images] if self._batched else np.split(images, len(images))
        rows = np.concatenate([self._network(batch).reshape(len(batch), -1) for batch in batches]).astype(np.float32)
        if not np.isfinite(np.einsum("ij,ij->i", rows, rows)).all():
            raise ValueError("its outputs are not finite")
        return rows


def normalize_crops(crops: np.ndarray, settings: RecognizerSettings) -> np.ndarray:
    """Normalize aligned crops (n, side, side, 3) uint8 to images (n, 3, side, side) float32."""
    mean, std = (np.array(values, np.float32) for values in (settings.mean, settings.std))
    return np.ascontiguousarray(((crops.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))


def normalize_rows(rows: np.ndarray) -> np.ndarray:
    """Divide rows (n, d) by their L2 norms; returns float32."""
    rows = rows.astype(np.float32)
    norms: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / norms.clip(1e-12)


def read_onnx(path: str) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        return onnx.load(workspace_path(path))
    except Exception as error:  # onnx raises exceptions of many types, such as for weights in a file outside the folder
        raise ModelError(f"{path}: not an ONNX file that can be read ({one_line(error)}); {_HINT}") from error


def open_recognizer(model: onnx.ModelProto, path: str, device: str) -> Any:
    """Open a recognizer in onnxruntime, with as many threads as torch; `path` is named in errors.

    Raises:
        ModelError: onnxruntime is not installed or cannot run the model.
        OnelookError: onnxruntime cannot use the named card.
    """
    return open_session(
        model.SerializeToString(), source=path, hint=_HINT, device=device, threads=torch.get_num_threads()
    )


def _open_onnx(path: str, device: str) -> tuple[Network, list[Any]]:
    """Open an ONNX network; return it and the shape of its input."""
    session = open_recognizer(read_onnx(path), path, device)
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"{path}: not a recognizer, it has {len(inputs)} inputs; {_HINT}")

    def run(images: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run(None, {inputs[0].name: images})[0]
        return output

    return run, list(inputs[0].shape)


def _open_tflite(path: str) -> tuple[Network, list[Any]]:
    """Open a TFLite network for batches of one; return it and the shape of its input."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ModelError(f"{path}: needs an interpreter; `pip install 'onelook[mesh]'`") from error
    try:
        interpreter: Any = Interpreter(model_path=str(workspace_path(path)), num_threads=torch.get_num_threads())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: not a TFLite file that can be read; {_HINT}") from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or inputs[0]["dtype"] is not np.float32:
        raise ModelError(f"{path}: not a recognizer with one input of float32; {_HINT}")

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(inputs[0]["index"], images)
        interpreter.invoke()
        output: np.ndarray = interpreter.get_tensor(outputs[0]["index"])
        return output

    return run, [1, *(int(extent) for extent in inputs[0]["shape"][1:])]
