"""Photos with points marked by people, and landmark cascades trained on them; used by `landmarks.py`."""

import json
from pathlib import Path

import numpy as np
import torch
from recognition_systems import require

from onelook.data.detection_scenes import DetectionDataset, write_detection_scenes
from onelook.data.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.files import atomic_folder
from onelook.inference.landmark_cascade import LandmarkPredictor
from onelook.inference.mtcnn_cascade import propose_squares
from onelook.model.baseline_folder import load_baseline, save_baseline
from onelook.model.landmark_cascade import LandmarkCascade
from onelook.reproducibility import seed_everything
from onelook.settings import BaselineName, JsonAnnotationsSettings, PrepareSettings, Settings
from onelook.training.baselines import BaselineTraining, train_baseline

CASCADES: tuple[BaselineName, ...] = ("landmarks_sun2013", "landmarks_coarse_to_fine", "landmarks_cfan")
MINUTES = "minutes.json"


def prepare_photos(data: Path, helen: Path | None, out: Path) -> Manifest:
    """Write the photos with marked points as scenes, once; splits are those of `prepare` with its defaults.

    Args:
        data: research data, with `scenes/`.
        helen: folder that `pts_annotations.py` wrote, or None.
        out: folder of the scenes.
    """
    if not (out / MANIFEST).is_file():
        prepare = PrepareSettings()
        folders = [require(data / "scenes"), *([] if helen is None else [require(helen)])]
        photos = []
        for folder in folders:
            settings = JsonAnnotationsSettings(path=str(folder.resolve()))
            photos += read_json_annotations(settings, prepare.split, Settings().base.seed).photos
        with atomic_folder(out) as temporary:
            scenes, _, _ = write_detection_scenes(temporary, DetectionDataset(tuple(photos)))
            write_manifest(temporary, scenes)
    return read_manifest(out)


def train_cascade(name: BaselineName, manifest: Manifest, epochs: int, work: Path) -> tuple[LandmarkPredictor, float]:
    """Train a cascade, or load it where it is trained; return it and the minutes of its training."""
    folder = work / name
    if not folder.is_dir():
        settings = Settings()
        train = settings.train.model_copy(update={"epochs": epochs})
        seed_everything(settings.base)
        training = BaselineTraining(
            manifest=manifest,
            settings=settings.model_copy(update={"train": train}),
            device=torch.device("cpu"),
            checkpoints=work / "checkpoints" / name,
            propose=propose_squares,
            validate=lambda network: {},
        )
        network, _ = train_baseline(name, training)
        save_baseline(folder, name, settings.model.embedding.dim, network)
    cascade = load_baseline(folder)
    assert isinstance(cascade, LandmarkCascade)
    minutes = json.loads((work / "checkpoints" / name / MINUTES).read_text(encoding="utf-8"))["minutes"]
    return LandmarkPredictor(cascade), float(minutes)


def count_parameters(predictor: LandmarkPredictor) -> list[int]:
    """Count the parameters of the levels up to each one."""
    return np.cumsum([sum(p.numel() for p in level.parameters()) for level in predictor.cascade.levels]).tolist()
