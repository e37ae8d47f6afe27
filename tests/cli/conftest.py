import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.cli_workspace import make_metadata, save_calibration, save_small_model
from helpers.command_line import Run, make_run, orl_image
from onelook.data.image_io import write_image
from onelook.gallery import storage
from onelook.gallery.data import empty_gallery
from onelook.inference.loading import load_torch_predictor


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a folder like `make repro` does, with a model, a calibration, the pipeline's gallery, and some photos."""
    root = tmp_path_factory.mktemp("built")
    save_small_model(root / "build/model", seed=5)
    fingerprint = load_torch_predictor(root / "build/model").fingerprint
    save_calibration(root)
    storage.create(root / "build/gallery", empty_gallery(make_metadata(fingerprint, managed=True)))
    for person in (1, 2, 3):
        write_image(root / f"s{person}.png", orl_image(person, 1))
    write_image(root / "both.png", np.concatenate([orl_image(1, 1), orl_image(2, 1)], axis=1))
    write_image(root / "wall.png", np.full((300, 300, 3), 127, np.uint8))
    (root / "empty.jpg").write_bytes(b"")
    return root


@pytest.fixture
def workspace(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the built folder and make it the working directory."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `onelook` in the workspace, enrolling with the workspace's model."""
    onelook = make_run(monkeypatch, capsys)

    def run(*arguments: str) -> tuple[int, str, str]:
        if arguments[0].startswith("enroll"):  # the first enrollment decides the gallery's model
            arguments = (*arguments, "--model", "build/model")
        return onelook(*arguments)

    return run


@pytest.fixture
def run_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `onelook` in an empty folder, with the released weights."""
    monkeypatch.chdir(tmp_path)
    return make_run(monkeypatch, capsys)
