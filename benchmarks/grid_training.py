"""Trainings of the grid study: settings of each variant, and a resumable training with its results.

A helper of grid_study.py.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from grid_data import SEED
from grid_evaluation import class_centers, predict, read_photo_set

from onelook.data.manifest import Manifest
from onelook.data.scene_dataset import SceneDataset
from onelook.files import atomic_folder, write_json
from onelook.model.grid_detector import GridDetector
from onelook.model.joint_network import JointNetwork
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import load_model, save_model
from onelook.reproducibility import seed_everything
from onelook.settings import Settings
from onelook.training.anchor_clustering import fit_anchor_sizes
from onelook.training.callbacks import Callbacks, Metrics
from onelook.training.checkpoint import training_key
from onelook.training.loop import Trainer

COMMON: Mapping[str, Any] = {
    "base.seed": SEED,
    "base.threads": 1,
    "base.device": "cpu",
    "teacher.init_tail": False,
    "model.architecture": "grid",
    "model.init": "released",
    "model.grid.image_size": 160,
    "model.grid.channels": 256,
    "train.epochs": 16,
    "train.batch_size": 16,
    "train.checkpoint_steps": 60,
    "train.learning_rate": 0.001,
    "train.backbone_lr_mult": 0.1,
    "train.matching.positive": 0.5,
    "train.matching.negative": 0.4,
    "train.matching.negatives_per_positive": 3,
    "train.weights.landmarks": 0.3,
    "train.identity.loss": "normalized",
    "train.augment.crop_size": 160,
    "train.augment.zoom": (1.0, 1.5),
    "train.augment.min_identity_size": 16,
    "train.augment.landmark_jitter": 0.0,
}
MOSAIC: Mapping[str, Any] = {
    "model.grid.image_size": 320,
    "train.augment.crop_size": 320,
    "train.batch_size": 4,
    "train.epochs": 4,  # each photo is in four mosaics
}


@dataclass(frozen=True)
class Variant:
    """A kind of training.

    Attributes:
        label: in the tables.
        mosaics: it trains on mosaics instead of single photos.
        changes: what differs from COMMON, and from MOSAIC with mosaics, by key of params.yaml.
    """

    label: str
    mosaics: bool
    changes: Mapping[str, Any]

    @property
    def values(self) -> dict[str, Any]:
        """Return what differs from the defaults of params.yaml, by key."""
        return {**COMMON, **(MOSAIC if self.mosaics else {}), **self.changes}

    def settings(self, seed: int) -> Settings:
        """Return the settings of a training."""
        tree = Settings().model_dump()
        for path, value in self.values.items():
            *sections, key = path.split(".")
            section = tree
            for each in sections:
                section = section[each]
            section[key] = value
        tree["base"]["seed"] += seed
        return Settings.model_validate(tree)


@dataclass(frozen=True)
class Training:
    """The training of a variant with a seed.

    Attributes:
        name: of the variant.
        variant: what is trained.
        seed: number of the repeat; it seeds the weights, the order and the augmentation.
    """

    name: str
    variant: Variant
    seed: int

    @property
    def settings(self) -> Settings:
        """Return its settings."""
        return self.variant.settings(self.seed)

    def folder(self, out: Path) -> Path:
        """Return the folder of its results; other values of the variant have another one."""
        return out / f"{self.name}-{self.seed}-{training_key(self.variant.values)[:8]}"


def train(training: Training, photos: Manifest, validation: Manifest, out: Path) -> Path:
    """Train to the last epoch and write the model, the classes and the history.

    - A finished training is not repeated; an interrupted one resumes from its checkpoint.
    - Nothing is selected: the last epoch counts.

    Args:
        training: what is trained.
        photos: the training photos.
        validation: of the same people, measured after every epoch.
        out: folder of all results.

    Returns:
        Its folder, with model/, classes.npy and history.json.
    """
    place = training.folder(out)
    if place.exists():
        return place
    checkpoints = out / "checkpoints" / place.name
    trainer = build_trainer(training.settings, photos)
    state = trainer.run(checkpoints, place.name, validation_callbacks(trainer, validation))
    with atomic_folder(place) as temporary:
        save_model(temporary / "model", trainer.network)
        np.save(temporary / "classes.npy", class_centers(trainer.modules["identity_loss"]))
        write_json(temporary / "history.json", state.history)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return place


def build_trainer(settings: Settings, photos: Manifest, device: str = "cpu") -> Trainer:
    """Build a seeded trainer, with anchors that fit the training photos."""
    seed_everything(settings.base)
    scenes = SceneDataset(photos, settings.train.augment, settings.base.seed)
    network = build_pretrained(settings.model)
    assert isinstance(network.detector, GridDetector)
    fit_anchor_sizes(network.detector, scenes, settings.base.seed)
    return Trainer(network, scenes, settings, device=torch.device(device))


def validation_callbacks(trainer: Trainer, validation: Manifest) -> Callbacks:
    """Return callbacks that measure IoU and accuracy on the validation photos after each epoch.

    `accuracy` is end to end, `given_accuracy` that at the labeled landmarks.
    """
    photos = read_photo_set(validation, trainer.scenes.identities)

    def validate(network: JointNetwork) -> Metrics:
        predictions = predict(network, class_centers(trainer.modules["identity_loss"]), photos)
        return {
            "selection_metric": 0.0,
            "iou": float(predictions.ious.mean()),
            "accuracy": float(predictions.is_right.mean()),
            "given_accuracy": float(predictions.is_right_given.mean()),
        }

    return Callbacks(validate)


def load_training(place: Path) -> tuple[JointNetwork, np.ndarray]:
    """Load the network and the class centers that `train` wrote."""
    return load_model(place / "model"), np.load(place / "classes.npy")
