"""The systems of `two_stage.py`: detectors with points, and recognizers of crops or of feature maps."""

import json
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from onelook.detections import Detections
from onelook.errors import ModelError
from onelook.geometry.alignment import align_crop
from onelook.inference.baseline_predictors import CropEmbedder, MtcnnPredictor, open_baselines
from onelook.inference.loading import load_torch_predictor
from onelook.inference.predictor import FaceDetector
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.baseline_folder import find_baselines, load_baseline
from onelook.model.public_mtcnn import load_public_mtcnn
from onelook.model.serialization import load_model
from onelook.settings import DetectSettings

OURS, PUBLIC = "MTCNN (ours)", "MTCNN (public)"


class Recognizer(Protocol):
    """Detects the faces of an image and embeds them."""

    def predict(self, image: np.ndarray, detect: DetectSettings) -> Detections:
        """Detect and embed the faces of an image, RGB uint8 (H, W, 3)."""


class OneStage:
    """A joint network."""

    def __init__(self, predictor: TorchPredictor) -> None:
        self.predictor = predictor

    def predict(self, image: np.ndarray, detect: DetectSettings) -> Detections:
        """Predict as `Recognizer.predict`."""
        return self.predictor.predict([image], detect)[0]


class TwoStage:
    """A detector, then a recognizer on the aligned crops of all faces at once."""

    def __init__(self, detector: FaceDetector, embedder: CropEmbedder) -> None:
        self.detector, self.embedder = detector, embedder

    def predict(self, image: np.ndarray, detect: DetectSettings) -> Detections:
        """Predict as `Recognizer.predict`."""
        found = self.detector.predict([image], detect, embed=False)[0]
        size = self.embedder.size
        crops = np.array([align_crop(image, points) for points in found.landmarks], np.uint8)
        return replace(found, embeddings=self.embedder.embed(crops.reshape(-1, size, size, 3)))


@dataclass(frozen=True)
class System:
    """A row of the table.

    Attributes:
        name: of the row.
        detector: finds boxes and points.
        recognizer: finds and embeds faces.
        parameters: of all its networks.
        minutes: of its trainings here; None where they are unknown.
    """

    name: str
    detector: FaceDetector
    recognizer: Recognizer
    parameters: int
    minutes: float | None


def open_systems(model: Path, baselines: Path, minutes: float | None, device: torch.device) -> list[System]:
    """Open the systems.

    Args:
        model: model folder of the joint network.
        baselines: folder that the stage `baselines` wrote, with mtcnn and mobilefacenet.
        minutes: of the training of the joint network; None where they are unknown.
        device: of all networks.

    Raises:
        ModelError: a baseline is missing or damaged.
    """
    trained = open_baselines(baselines, device)
    mtcnn, embedder = trained.get("mtcnn"), trained.get("mobilefacenet")
    if not isinstance(mtcnn, MtcnnPredictor) or not isinstance(embedder, CropEmbedder):
        raise ModelError(
            f"{baselines}: needs mtcnn and mobilefacenet; `dvc exp run -S baselines=[mtcnn,mobilefacenet]`"
        )
    joint = load_torch_predictor(model, device=device)
    counts = {name: count_parameters(load_baseline(path)) for name, path in find_baselines(baselines).items()}
    light, crops = count_parameters(load_model(model).detector), counts["mobilefacenet"]
    taken = read_minutes(baselines)
    public, average = open_public_mtcnn(device), trained.get("mobilefacenet_average")
    mtcnn_minutes, crop_minutes = taken.get("mtcnn"), taken.get("mobilefacenet")
    both = None if mtcnn_minutes is None or crop_minutes is None else mtcnn_minutes + crop_minutes
    systems = [
        System(f"{OURS} + MobileFaceNet (ours)", mtcnn, TwoStage(mtcnn, embedder), counts["mtcnn"] + crops, both)
    ]
    if public is not None:
        parameters = count_parameters(public.mtcnn) + crops
        systems.append(
            System(f"{PUBLIC} + MobileFaceNet (ours)", public, TwoStage(public, embedder), parameters, crop_minutes)
        )
    systems.append(
        System("light detector + MobileFaceNet (ours)", joint, TwoStage(joint, embedder), light + crops, crop_minutes)
    )
    if isinstance(average, CropEmbedder):
        parameters, own = light + counts["mobilefacenet_average"], taken.get("mobilefacenet_average")
        name = "light detector + MobileFaceNet, average pooling (ours)"
        systems.append(System(name, joint, TwoStage(joint, average), parameters, own))
    systems.append(System("onelook", joint, OneStage(joint), count_parameters(load_model(model)), minutes))
    return systems


def open_public_mtcnn(device: torch.device) -> MtcnnPredictor | None:
    """Open the MTCNN of the facenet-pytorch wheel; None, with a line on stdout, where it is not installed."""
    if find_spec("facenet_pytorch") is None:
        print("Without the public MTCNN: the facenet-pytorch wheel is not installed.")
        return None
    return MtcnnPredictor(load_public_mtcnn().to(device))


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def read_minutes(baselines: Path) -> dict[str, float]:
    """Read the minutes of training that the stage wrote beside its output; none without the file."""
    path = baselines.resolve().parent / "baselines_timing.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
