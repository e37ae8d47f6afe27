"""Fixtures: prepared scenes of real faces, a pretrained detector with an untrained embedding head, its evaluation."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onelook.data.manifest import Manifest, read_manifest
from onelook.data.prepare import prepare
from onelook.data.readers.orl import read_orl
from onelook.detections import Detections
from onelook.evaluation.evaluate import Evaluation, evaluate
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.pretrained import build_pretrained
from onelook.settings import Settings, load_settings


@pytest.fixture(scope="session")
def small_settings(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """params.yaml with the reader `folder` on 12 people of four photos each, and small sizes."""
    photos = tmp_path_factory.mktemp("people")
    for portrait in read_orl().images:
        person, number = int(portrait.path.parent.name[1:]), int(portrait.path.stem)
        if person <= 12 and number <= 4:
            (photos / portrait.identity).mkdir(exist_ok=True)
            shutil.copy(portrait.path, photos / portrait.identity)
    tree = load_settings(project / "params.yaml").model_dump()
    split = {"train": 0.5, "validation": 0.25, "test": 0.25}
    tree["prepare"] |= {"reader": "folder", "enrollment_images": 2, "split": split}
    tree["prepare"]["folder"]["path"] = str(photos)
    tree["prepare"]["compose"] |= {"train": 5, "validation": 5, "test": 6, "width": 320, "height": 256}
    tree["prepare"]["compose"] |= {"faces_per_scene": (1, 3), "face_size": (40, 110)}
    tree["model"]["init"] = "wheel"
    tree["model"]["embedding"] |= {"dim": 16, "channels": 16, "grid_size": 14, "sampling": "warp", "extent": 1}
    tree["model"]["embedding"] |= {"widths": (16, 16), "depths": (0, 0), "gdc_channels": 16}
    tree["evaluate"] |= {"bootstrap_samples": 100, "eigenfaces": 8}
    return Settings.model_validate(tree)


@pytest.fixture(scope="session")
def small_manifest(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Prepared scenes and enrollment photos."""
    detector = public_detector()

    def detect(image: np.ndarray) -> Detections:
        return detector.predict([image], small_settings.detect, embed=False)[0]

    root = tmp_path_factory.mktemp("data") / "scenes"
    prepare(small_settings.prepare, small_settings.base.seed, detect, root)
    return read_manifest(root)


@pytest.fixture(scope="session")
def small_predictor(small_settings: Settings) -> TorchPredictor:
    """The public detector with an untrained embedding head."""
    torch.manual_seed(0)
    return TorchPredictor(build_pretrained(small_settings.model), "f" * 64)


@pytest.fixture(scope="session")
def small_evaluation(small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings) -> Evaluation:
    """The evaluation of the small predictor."""
    return evaluate(small_predictor, small_manifest, small_settings)


@pytest.fixture(scope="session")
def manifest_without_identities(small_manifest: Manifest) -> Manifest:
    """The same scenes without identities, each with an ignored box."""
    box = np.array([[0, 0, 30, 30]], np.float32)
    scenes = [
        replace(scene, faces=tuple(replace(face, identity=None) for face in scene.faces), ignored=box)
        for scene in small_manifest.scenes
        if scene.role == "scene"
    ]
    return replace(small_manifest, scenes=tuple(scenes))
