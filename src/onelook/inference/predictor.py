"""Protocol of the predictors: face detection and embedding by a model folder or an exported file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from onelook.detections import Detections

if TYPE_CHECKING:
    from onelook.settings import DetectSettings

TOPK_CANDIDATES = 5000
"""Candidates of an image that reach NMS at most; more than that are noise, not faces."""
DEVICE_BATCH_SIZE = 32
"""Images per call on a device other than the CPU. The forward pass of the light network consists of 185 operations
however many images it gets: with a single one, a card mostly waits for the next. 32 photos of a phone take 1.2 GB."""


class Predictor(Protocol):
    """A model that detects and embeds the faces of images.

    Implemented by `onelook.inference.torch_predictor.TorchPredictor` and by
    `onelook.inference.onnx_predictor.OnnxPredictor`, which does not import torch.
    """

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the model folder in hex; empty where the model was not loaded from one."""

    @property
    def source(self) -> Path | None:
        """Model folder or exported file that the model was loaded from, or None."""

    @property
    def embedding_size(self) -> int:
        """Length of an embedding."""

    @property
    def min_batch_size(self) -> int:
        """Number of images that a call needs to keep the device busy: 1 on the CPU."""

    @property
    def has_mesh_head(self) -> bool:
        """Return True if `predict` returns meshes."""

    def predict(self, images: Sequence[np.ndarray], detect: "DetectSettings") -> list[Detections]:
        """Detect and embed the faces of images, RGB uint8 (H, W, 3) of any sizes."""


class FaceDetector(Protocol):
    """A model that detects the faces of images, and may embed them.

    Implemented by `TorchPredictor` and by `onelook.inference.baseline_predictors.MtcnnPredictor`.
    """

    min_batch_size: int

    def predict(self, images: Sequence[np.ndarray], detect: "DetectSettings", *, embed: bool = ...) -> list[Detections]:
        """Detect the faces of images, RGB uint8 (H, W, 3) of any sizes; without `embed`, embeddings have length 0."""
