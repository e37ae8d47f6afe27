"""Baselines for inference: a detector of faces and points, and a recognizer of aligned crops."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from onelook.detections import Detections
from onelook.geometry.alignment import CROP_SIZE
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.mtcnn_cascade import MIN_FACE, SCORES, run_cascade
from onelook.inference.photo_prediction import predict_single_pass
from onelook.inference.predictor import DEVICE_BATCH_SIZE
from onelook.inference.resize import SizeRange
from onelook.model.baseline_folder import find_baselines, load_baseline
from onelook.model.landmark_cascade import LandmarkCascade
from onelook.model.mobilefacenet import MobileFaceNet, SeparateRecognizer
from onelook.model.mtcnn import Mtcnn
from onelook.settings import BaselineName, DetectSettings

_CROPS_PER_PASS = 64


class MtcnnPredictor:
    """MTCNN on NumPy images.

    Attributes:
        mtcnn: in evaluation mode, on its device.
        min_face: smallest face that it looks for, in pixels of the image after it was scaled down.
        min_batch_size: number of images that a call needs to keep the device busy.
    """

    def __init__(self, mtcnn: Mtcnn, min_face: float = MIN_FACE) -> None:
        self.mtcnn = mtcnn.eval()
        self.min_face = min_face
        self._device = next(mtcnn.parameters()).device
        self.min_batch_size = 1 if self._device.type == "cpu" else DEVICE_BATCH_SIZE

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = False) -> list[Detections]:
        """Detect the faces of images, without embeddings.

        Args:
            images: RGB uint8 (H, W, 3), of any sizes; images of equal size form one batch.
            detect: lowest face probability of O-Net, and the longest side to which images are scaled down.
            embed: has no effect; the network embeds no faces.

        Returns:
            Detections per image, in pixels of the image as given.
        """

        def predict_batch(batch: np.ndarray, sizes: SizeRange) -> list[Detections]:
            return self._predict_batch(batch, detect.score)

        # Each image by itself on the CPU, where a larger batch only needs more memory.
        max_pixels = 1 if self._device.type == "cpu" else None
        return predict_single_pass(images, detect, predict_batch, max_pixels)

    def _predict_batch(self, images: np.ndarray, score: float) -> list[Detections]:
        """Detect the faces of images (B, H, W, 3)."""
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self._device)
        found = run_cascade(list(self.mtcnn.networks), pixels, (*SCORES[:2], score), self.min_face)
        boxes, scores, is_valid, landmarks = (column.cpu().numpy() for column in found)
        return [
            Detections(boxes[i][rows], scores[i][rows], landmarks[i][rows], np.zeros((rows.sum(), 0), np.float32))
            for i, rows in enumerate(is_valid)
        ]


class CropEmbedder:
    """A recognizer of aligned crops.

    Attributes:
        size: side of a crop, in pixels.
    """

    size = CROP_SIZE

    def __init__(self, network: MobileFaceNet) -> None:
        self._network = network.eval()
        self._device = next(network.parameters()).device

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed aligned crops (n, 112, 112, 3) uint8 as L2-normalized rows (n, dim) float32."""
        with torch.inference_mode():
            rows = [self._network(part.to(self._device)).cpu().numpy() for part in _split_crops(crops)]
        return np.concatenate(rows)


Baseline = MtcnnPredictor | CropEmbedder | LandmarkPredictor
"""A detector without embeddings, a recognizer of crops, or a predictor of the points of found faces."""


def open_baselines(folder: Path, device: torch.device) -> dict[BaselineName, Baseline]:
    """Open the trained baselines in a folder, by name.

    Raises:
        ModelError: one is damaged.
    """
    return {name: _open(load_baseline(path).to(device)) for name, path in find_baselines(folder).items()}


def _open(network: nn.Module) -> Baseline:
    if isinstance(network, Mtcnn):
        return MtcnnPredictor(network)
    if isinstance(network, LandmarkCascade):
        return LandmarkPredictor(network)
    assert isinstance(network, SeparateRecognizer)
    return CropEmbedder(network.recognizer)


def _split_crops(crops: np.ndarray) -> Iterator[torch.Tensor]:
    """Yield crops (n, side, side, 3) as tensors (m, 3, side, side), an empty one where there are none."""
    for start in range(0, max(len(crops), 1), _CROPS_PER_PASS):
        yield torch.from_numpy(np.ascontiguousarray(crops[start : start + _CROPS_PER_PASS].transpose(0, 3, 1, 2)))
