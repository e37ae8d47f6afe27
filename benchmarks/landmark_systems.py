"""Kinds of five points of detected faces: the joint network's, a mean face, and cascades that are trained here.

A helper of landmarks.py.
"""

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from landmark_photos import TrainingFaces
from two_stage_systems import count_parameters

from onelook.data.landmark_faces import LandmarkFaces, from_square
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.model.baseline_folder import BASELINES, save_baseline
from onelook.model.landmark_cascade import LandmarkCascade
from onelook.reproducibility import seed_everything
from onelook.settings import BaselineName, Settings
from onelook.training import landmark_training
from onelook.training.callbacks import Metrics
from onelook.training.checkpoint import training_key
from onelook.training.landmark_training import LandmarkTrainer
from onelook.training.stopwatch import Stopwatch

MESH_TRAINED: tuple[BaselineName, ...] = ("landmarks_face_pose_net",)
"""Baselines that learn from meshes instead of points marked by people; `face_pose.py` measures them."""
CASCADES: tuple[BaselineName, ...] = tuple(
    name for name in get_args(BaselineName) if name.startswith("landmarks_") and name not in MESH_TRAINED
)
MEAN_FACE, JOINT, SHIFTED = "mean face in the box", "joint network", "joint network, shifted"
MODELS = "models"
"""Folder of the trained cascades below --out."""
_EPOCHS = 10
_CHECKPOINT_STEPS = 100
_LEARNING_RATE = 0.001
_UNUSED_DIM = 128

PredictLevels = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Predicts points (levels, n, 5, 2), in pixels, after each level.

Its arguments are an image, RGB uint8 (H, W, 3), and boxes (n, 4) and points (n, 5, 2) of the joint network in it."""


@dataclass(frozen=True, eq=False)
class PointSystem:
    """A kind of points.

    Attributes:
        name: of its rows.
        predict_levels: predicts its points.
        parameters: of its networks, beside those of the joint network.
        minutes: of processor time of its training here.
    """

    name: str
    predict_levels: PredictLevels
    parameters: int | None = None
    minutes: float | None = None


def fixed_systems(training: TrainingFaces) -> list[PointSystem]:
    """Return the systems without a network of their own.

    - `MEAN_FACE`: the mean labeled points of the training faces, in the square of the box.
    - `JOINT`: the points of the joint network.
    - `SHIFTED`: those without their mean offset from the labels of the training faces. People and detectors place
      points by other conventions, which a cascade learns from its labels.
    """
    mean, offset = training.mean_face(), training.mean_offset()

    def shift(image: np.ndarray, boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
        sides = (boxes[:, 2:] - boxes[:, :2]).max(1)[:, None, None]
        shifted: np.ndarray = (points - offset * sides)[None]
        return shifted

    def place(image: np.ndarray, boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
        return from_square(np.broadcast_to(mean, (len(boxes), 5, 2)), boxes)[None]

    return [
        PointSystem(MEAN_FACE, place),
        PointSystem(JOINT, lambda image, boxes, points: points[None]),
        PointSystem(SHIFTED, shift),
    ]


def train_cascade(name: BaselineName, faces: LandmarkFaces, steps: int, out: Path) -> PointSystem:
    """Train a cascade, or what is left of its training after an interruption, and save it below `MODELS`.

    Args:
        name: of the baseline.
        faces: the training faces.
        steps: of each level.
        out: folder of the checkpoints and models.

    Raises:
        OnelookError: a loss is not finite.
    """
    settings = training_settings()
    folder = out / "checkpoints" / name
    key = training_key(
        name,
        steps,
        settings.base.model_dump(mode="json"),
        settings.train.model_dump(mode="json"),
        [landmark_training.FACES_PER_STEP, landmark_training.VIEWS_PER_FACE],
        [hashlib.sha256(column.tobytes()).hexdigest() for column in (faces.crops, faces.points)],
    )
    seed_everything(settings.base)
    cascade = BASELINES[name](_UNUSED_DIM)
    assert isinstance(cascade, LandmarkCascade)
    stopwatch = Stopwatch(folder, key, time.process_time)

    def on_epoch_end(epoch: int, losses: Metrics) -> None:
        stopwatch.save()
        print(name, epoch, " ".join(f"{loss} {value:.5f}" for loss, value in losses.items()), file=sys.stderr)

    LandmarkTrainer(cascade, faces, settings, max(1, steps // _EPOCHS), torch.device("cpu")).run(
        folder, key, on_epoch_end
    )
    minutes = stopwatch.minutes
    save_baseline(out / MODELS / name, name, _UNUSED_DIM, cascade)
    return cascade_system(name, cascade, minutes)


def cascade_system(name: str, cascade: LandmarkCascade, minutes: float | None = None) -> PointSystem:
    """Return the system of a trained cascade."""
    predictor = LandmarkPredictor(cascade)
    return PointSystem(
        name, lambda image, boxes, points: predictor.predict_levels(image, boxes), count_parameters(cascade), minutes
    )


def training_settings() -> Settings:
    """Return the settings of all trainings: the defaults but for one thread and the epochs, which divide a level."""
    settings = Settings()
    train = {"epochs": _EPOCHS, "learning_rate": _LEARNING_RATE, "checkpoint_steps": _CHECKPOINT_STEPS}
    return settings.model_copy(
        update={
            "base": settings.base.model_copy(update={"threads": 1}),
            "train": settings.train.model_copy(update=train),
        }
    )
