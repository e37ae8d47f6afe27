"""Predict with an exported ONNX file through onnxruntime, NumPy and OpenCV, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onelook.detections import Detections
from onelook.errors import ModelError
from onelook.inference.photo_prediction import predict_photos
from onelook.inference.predictor import DEVICE_BATCH_SIZE
from onelook.inference.resize import SizeRange
from onelook.onnx_session import CUDA, open_session

if TYPE_CHECKING:
    from onelook.settings import DetectSettings


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
        self._session = open_session(file, source=str(file), hint="export the model again", device=device)
        self.min_batch_size = DEVICE_BATCH_SIZE if CUDA in self._session.get_providers() else 1
        self.source = file
        metadata = self._session.get_modelmeta().custom_metadata_map
        try:
            self.fingerprint: str = metadata["fingerprint"]
            self.embedding_size = int(metadata["embedding_size"])
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{file}: not written by `onelook export-model`; export the model again, or name its folder"
            ) from error

    def predict(self, images: Sequence[np.ndarray], detect: "DetectSettings") -> list[Detections]:
        """Detect and embed the faces of images, as `TorchPredictor.predict`.

        Args:
            images: RGB uint8 (H, W, 3), of any sizes; images of equal size form one batch.
            detect: score threshold, NMS threshold, and sizes of the passes (`inference.photo_prediction`).

        Returns:
            Detections per image, in pixels of the image as given.
        """
        thresholds = {"score": np.array([detect.score], np.float32), "nms": np.array([detect.nms], np.float32)}

        def predict_batch(batch: np.ndarray, _: SizeRange) -> list[Detections]:  # the graph embeds every face
            image_indices, *faces = self._session.run(None, {"photos": batch, **thresholds})
            return [Detections(*(values[image_indices == image] for values in faces)) for image in range(len(batch))]

        return predict_photos(images, detect, predict_batch)
