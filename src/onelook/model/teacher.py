"""Recognition teacher: a face recognizer in an ONNX file, whose embeddings are distilled."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError

from onelook.errors import ModelError
from onelook.geometry.alignment import CROP_SIZE
from onelook.onnx_session import open_session
from onelook.settings import TeacherSettings


class Teacher:
    """A recognizer from aligned crops to embeddings, such as MobileFaceNet.

    Attributes:
        dim: length of an embedding.
    """

    def __init__(self, settings: TeacherSettings, device: str = "auto") -> None:
        """Open the recognizer.

        Args:
            settings: file of the recognizer and normalization of its input.
            device: name of the device, see `onelook.onnx_session.open_session`.

        Raises:
            ModelError: the file is missing or not a recognizer, or onnxruntime is not installed.
            OnelookError: onnxruntime cannot use the named card.
        """
        self._session = open_recognizer(read_onnx(settings.path), settings.path, device)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or list(inputs[0].shape)[1:] != [3, CROP_SIZE, CROP_SIZE]:
            raise ModelError(
                f"{settings.path}: not a recognizer of aligned crops (3, {CROP_SIZE}, {CROP_SIZE}); name another"
            )
        self._settings = settings
        self.dim = self.embed(np.zeros((1, CROP_SIZE, CROP_SIZE, 3), np.uint8)).shape[1]

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed aligned crops (n, 112, 112, 3) uint8, each averaged with its mirror image.

        Returns:
            (n, dim) float32, L2-normalized.
        """
        rows = []
        for crop in crops:
            views = [run_session(self._session, view, self._settings)[0].ravel() for view in (crop, crop[:, ::-1])]
            total = sum(row / max(float(np.linalg.norm(row)), 1e-12) for row in views)
            rows.append(total / max(float(np.linalg.norm(total)), 1e-12))
        return np.asarray(rows, np.float32)


def read_onnx(path: str) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        return onnx.load(Path(path))
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path}: not an ONNX file that can be read; set teacher.path to a recognizer's") from error


def open_recognizer(model: onnx.ModelProto, path: str, device: str) -> Any:
    """Open a recognizer in onnxruntime, with as many threads as torch; `path` is named in errors.

    Raises:
        ModelError: onnxruntime is not installed or cannot run the model.
        OnelookError: onnxruntime cannot use the named card.
    """
    return open_session(
        model.SerializeToString(),
        source=path,
        hint="set teacher.path to a recognizer's",
        device=device,
        threads=torch.get_num_threads(),
    )


def run_session(session: Any, crop: np.ndarray, settings: TeacherSettings) -> list[np.ndarray]:
    """Compute all outputs of one aligned crop (112, 112, 3) uint8.

    Crops are not batched, as many published recognizers have a fixed batch size of 1.
    """
    image = (crop.astype(np.float32) - np.array(settings.mean, np.float32)) / np.array(settings.std, np.float32)
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: image.transpose(2, 0, 1)[None].copy()})
    return outputs
