"""A small data folder of real faces, and the starting network to look at it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from onelook.data.manifest import Manifest, read_manifest
from onelook.data.prepare import prepare
from onelook.data.readers.orl import read_orl
from onelook.detections import Detections
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.pretrained import build_pretrained
from onelook.settings import Settings, load_settings


@pytest.fixture(scope="session")
def small_settings(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """params.yaml with the reader `folder` on 12 people of four photos each, and little of everything."""
    photos = tmp_path_factory.mktemp("people")
    for portrait in read_orl().portraits:
        person, number = int(portrait.path.parent.name[1:]), int(portrait.path.stem)
        if person <= 12 and number <= 4:
            (photos / portrait.identity).mkdir(exist_ok=True)
            shutil.copy(portrait.path, photos / portrait.identity)
    tree = load_settings(project / "params.yaml").model_dump()
    tree["prepare"] |= {"reader": "folder", "enroll": 2, "split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    tree["prepare"]["folder"]["path"] = str(photos)
    tree["prepare"]["compose"] |= {"train": 5, "validation": 5, "test": 6, "width": 320, "height": 256}
    tree["prepare"]["compose"] |= {"faces": (1, 3), "size": (40, 110)}
    tree["model"]["start"] = "wheel"
    tree["model"]["embedding"] |= {"size": 16, "channels": 16, "grid": 14, "sampling": "warp", "extent": 1}
    tree["model"]["embedding"] |= {"widths": (16, 16), "depths": (0, 0), "gdc_channels": 16}
    tree["evaluate"] |= {"bootstrap_samples": 100, "eigenfaces": 8}
    return Settings.model_validate(tree)


@pytest.fixture(scope="session")
def small_manifest(small_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Prepared scenes and enrollment photos."""
    detector = public_detector()

    def find(photo: np.ndarray) -> Detections:
        return detector.predict([photo], small_settings.detect, embed=False)[0]

    root = tmp_path_factory.mktemp("data") / "scenes"
    prepare(small_settings.prepare, small_settings.base.seed, find, root)
    return read_manifest(root)


@pytest.fixture(scope="session")
def small_looker(small_settings: Settings) -> TorchPredictor:
    """The public detector with an untrained embedding head."""
    torch.manual_seed(0)
    return TorchPredictor(build_pretrained(small_settings.model), "f" * 64)
