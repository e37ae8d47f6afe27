"""What a gallery asks of a model, in a folder or exported."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from onelook.detections import Detections
from onelook.settings import DetectSettings


class Predictor(Protocol):
    """`onelook.inference.torch_predictor.TorchPredictor`, or `onelook.inference.onnx_predictor.OnnxPredictor`, which needs no torch."""

    @property
    def fingerprint(self) -> str:
        """Of the model folder, exported or not; an empty string where there is none."""

    @property
    def folder(self) -> Path | None:
        """The model folder or the exported file, if it came from one."""

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""

    @property
    def has_mesh_head(self) -> bool:
        """Whether the network has a mesh head."""

    def predict(self, photos: Sequence[np.ndarray], detect: DetectSettings) -> list[Detections]:
        """Find the faces in photos, RGB uint8 (H, W, 3), and embed each."""
