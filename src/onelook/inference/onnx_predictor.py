"""Looking at photos with an exported model: onnxruntime, NumPy and OpenCV do all of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onelook.detections import Detections
from onelook.errors import ModelError
from onelook.inference.resize import predict_by_size

if TYPE_CHECKING:
    from onelook.settings import DetectSettings


class OnnxPredictor:
    """A model that `onelook export-model` wrote, ready for photos; a `onelook.inference.torch_predictor.TorchPredictor` without torch.

    Attributes:
        fingerprint: of the model that was exported.
        embedding_size: length of an embedding.
        tells_meshes: False, as the file has no mesh head.
        folder: the file, which stands for its model's folder.
    """

    has_mesh_head = False

    def __init__(self, file: Path) -> None:
        """Open the file.

        Raises:
            ModelError: it is missing, damaged or not written by this program, or onnxruntime is not installed.
        """
        self._session = _open(file)
        self.folder = file
        described = self._session.get_modelmeta().custom_metadata_map
        try:
            self.fingerprint: str = described["fingerprint"]
            self.embedding_size = int(described["embedding_size"])
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{file}: not written by `onelook export-model`; export the model again, or name its folder"
            ) from error

    def predict(self, photos: Sequence[np.ndarray], detect: "DetectSettings") -> list[Detections]:
        """Find the faces in photos, and embed each: see `onelook.inference.torch_predictor.TorchPredictor.predict`.

        Args:
            photos: RGB uint8 (H, W, 3), of any sizes; photos of one size go through the network as one batch.
            detect: lowest score, suppression IoU, and the side over which photos are scaled down.
        """
        terms = {"score": np.array([detect.score], np.float32), "nms": np.array([detect.nms], np.float32)}

        def predict(batch: np.ndarray) -> list[Detections]:
            images, *told = self._session.run(None, {"photos": batch, **terms})
            return [Detections(*(each[images == image] for each in told)) for image in range(len(batch))]

        return predict_by_size(photos, detect.longest_side, predict)


def _open(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError("an exported model needs onnxruntime; `pip install 'onelook[onnx]'`") from error
    if not file.is_file():
        raise ModelError(f"{file}: missing; write it with `onelook export-model`, or name another by --model")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that spin while they wait starve whatever else the machine does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common class but this
        raise ModelError(f"{file}: no ONNX file that onnxruntime can read; export the model again") from error
