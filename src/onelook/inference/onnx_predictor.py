"""Predict with an exported ONNX file through onnxruntime, NumPy and OpenCV, without torch."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onelook.detections import Detections
from onelook.errors import ModelError, is_out_of_memory
from onelook.inference.photo_prediction import predict_photos
from onelook.inference.predictor import DEVICE_BATCH_SIZE
from onelook.inference.resize import SizeRange
from onelook.onnx_checksum import check_presence, read_checked
from onelook.onnx_session import CUDA, open_session
from onelook.untrusted import one_line

if TYPE_CHECKING:
    from onelook.settings import DetectSettings

logger = logging.getLogger(__name__)

_MAX_EMBEDDING_SIZE = 4096
# The operators that may run without an end, already while onnxruntime opens a file.
_LOOPS = (b"Loop", b"Scan")
# What precedes them in a node: number 4 of the field, and the length 4, each perhaps in more bytes than it needs.
_OPERATOR = re.compile(rb"(?:\x22|\xa2[\x80-\xff]{0,8}[\x00-\x7f])(?:\x04|\x84[\x80-\xff]{0,8}[\x00-\x7f])\Z")
_MAX_OPERATOR_BYTES = 20
_OUTPUTS = ["images", "boxes", "scores", "landmarks", "embeddings"]


class OnnxPredictor:
    """A model file written by `onelook export-model`, run by onnxruntime.

    Attributes:
        fingerprint: SHA-256 of the model folder that was exported, in hex.
        embedding_size: length of an embedding.
        has_mesh_head: False, as the exported graph has no mesh head.
        min_batch_size: number of images that a call needs to keep the device busy.
        source: the ONNX file.
    """

    has_mesh_head = False

    def __init__(self, file: Path, device: str = "auto") -> None:
        """Open the file.

        Args:
            file: the ONNX file.
            device: name of the device, see `onelook.onnx_session.open_session`.

        Raises:
            ModelError: the file is missing, damaged or not written by onelook, or onnxruntime is not installed.
            OnelookError: the device is unknown, or onnxruntime cannot use the named card.
        """
        if not file.is_file():
            raise ModelError(f"{file}: missing; write it with `onelook export-model`, or name another by --model")
        content, has_checksum = read_checked(file)
        if _has_loop(content):
            raise ModelError(f"{file}: has a loop, which no exported model has; export the model again")
        # From the content, onnxruntime reads no other file, such as one that a graph names for its weights.
        self._session = open_session(content, source=str(file), hint="export the model again", device=device)
        self.min_batch_size = DEVICE_BATCH_SIZE if CUDA in self._session.get_providers() else 1
        self.source = file
        metadata = self._session.get_modelmeta().custom_metadata_map
        try:
            self.fingerprint: str = metadata["fingerprint"]
            self.embedding_size = int(metadata["embedding_size"])
            outputs = [output.name for output in self._session.get_outputs()]
            if outputs != _OUTPUTS or not 0 < self.embedding_size <= _MAX_EMBEDDING_SIZE:
                raise ValueError(f"outputs {outputs}, embeddings of {self.embedding_size}")
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{file}: not written by `onelook export-model`; export the model again, or name its folder"
            ) from error
        if not check_presence(file, metadata, has_checksum):
            logger.warning("%s: has no checksum; `onelook export-model` of this version writes one", file)

    def predict(self, images: Sequence[np.ndarray], detect: "DetectSettings") -> list[Detections]:
        """Detect and embed the faces of images, as `TorchPredictor.predict`.

        Args:
            images: RGB uint8 (H, W, 3), of any sizes; images of equal size form one batch.
            detect: score threshold, NMS threshold, and sizes of the passes (`inference.photo_prediction`).

        Returns:
            Detections per image, in pixels of the image as given.

        Raises:
            ModelError: the graph cannot be run, or its outputs are not those of faces.
        """
        thresholds = {"score": np.array([detect.score], np.float32), "nms": np.array([detect.nms], np.float32)}

        def predict_batch(batch: np.ndarray, _: SizeRange) -> list[Detections]:  # the graph embeds every face
            try:
                outputs = self._session.run(None, {"photos": batch, **thresholds})
            except Exception as error:  # the exceptions of onnxruntime have no narrower common base
                if is_out_of_memory(error):
                    raise
                raise ModelError(f"{self.source}: cannot be run ({one_line(error)}); export the model again") from error
            self._check(outputs, len(batch))
            image_indices, *faces = outputs
            return [Detections(*(values[image_indices == image] for values in faces)) for image in range(len(batch))]

        return predict_photos(images, detect, predict_batch)

    def _check(self, outputs: Sequence[np.ndarray], batch_size: int) -> None:
        """Check that the outputs describe faces of the batch.

        Raises:
            ModelError: a shape or a type is wrong, or a number is not finite.
        """
        count = outputs[0].shape[:1]
        shapes = [count, (*count, 4), count, (*count, 5, 2), (*count, self.embedding_size)]
        if (
            [output.shape for output in outputs] != shapes
            or outputs[0].dtype.kind != "i"
            or any(output.dtype != np.float32 for output in outputs[1:])
            or not all(np.isfinite(output).all() for output in outputs[1:])
            or not ((outputs[0] >= 0) & (outputs[0] < batch_size)).all()
        ):
            raise ModelError(f"{self.source}: its outputs are not those of faces; export the model again")


def _has_loop(content: bytes) -> bool:
    """Return whether a serialized model has an operator that may run without an end."""
    for name in _LOOPS:
        place = content.find(name)
        while place >= 0:
            if _OPERATOR.search(content, max(0, place - _MAX_OPERATOR_BYTES), place):
                return True
            place = content.find(name, place + 1)
    return False
