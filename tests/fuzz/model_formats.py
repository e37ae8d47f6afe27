"""The formats of models beside the model folder: registered versions, baselines, public weights."""

import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from hypothesis import strategies as st

from fuzz.formats import Format
from fuzz.mutations import damaged_bytes, damaged_json, damaged_lines, damaged_tree, dump
from helpers.recognizer import random_weights, write_recognizer
from onelook.experiment.gallery_copies import MLMODEL_FILE
from onelook.experiment.registry import read_artifact_folders
from onelook.model.baseline_folder import BASELINES, DESCRIPTION, load_baseline, save_baseline
from onelook.model.model_folder import WEIGHTS
from onelook.model.pretrained import read_state_dict
from onelook.model.recognizer import Recognizer
from onelook.settings import TeacherSettings

_MLMODEL = """\
flavors:
  python_function:
    artifacts:
      gallery:
        path: artifacts/gallery
        uri: /gallery
      model:
        path: artifacts/model
        uri: /model
    code: null
    streamable: false
model_size_bytes: 1844679
utc_time_created: '2026-11-30 02:25:30.711007'
"""


def _mlmodel_files() -> st.SearchStrategy[bytes]:
    """Damage an MLmodel file as text, and as a tree: JSON is YAML."""
    return damaged_lines([_MLMODEL]) | damaged_tree([yaml.safe_load(_MLMODEL)]).map(dump)


def _read_version(data: bytes, folder: Path) -> None:
    for name in ("model", "gallery"):
        (folder / "artifacts" / name).mkdir(parents=True, exist_ok=True)
    (folder / MLMODEL_FILE).write_bytes(data)
    for path in read_artifact_folders(folder):
        assert path.resolve().is_relative_to(folder.resolve())


@cache
def _baseline() -> tuple[Any, bytes]:
    with TemporaryDirectory() as folder:
        save_baseline(Path(folder, "mtcnn"), "mtcnn", 8, BASELINES["mtcnn"](8))
        description = json.loads(Path(folder, "mtcnn", DESCRIPTION).read_bytes())
        return description, Path(folder, "mtcnn", WEIGHTS).read_bytes()


def _baselines() -> st.SearchStrategy[bytes]:
    """Damage the description, which may name each of the networks."""
    description, _ = _baseline()
    return damaged_json([description, description | {"baseline": "mobilefacenet"}])


def _read_baseline(data: bytes, folder: Path) -> None:
    (folder / DESCRIPTION).write_bytes(data)
    (folder / WEIGHTS).write_bytes(_baseline()[1])
    load_baseline(folder)


def _public_weights() -> st.SearchStrategy[bytes]:
    seeds = []
    for is_zip in (True, False):
        stream = io.BytesIO()
        state = {"body.weight": torch.zeros(3), "body.steps": torch.tensor(1)}
        torch.save(state, stream, _use_new_zipfile_serialization=is_zip)
        seeds.append(stream.getvalue())
    return damaged_bytes(seeds)


def _read_weights(data: bytes, folder: Path) -> None:
    (folder / "weights.pth").write_bytes(data)
    read_state_dict(folder / "weights.pth")


def _recognizers() -> st.SearchStrategy[bytes]:
    with TemporaryDirectory() as folder:
        file = Path(write_recognizer(Path(folder, "recognizer.onnx"), random_weights()).path)
        return damaged_bytes([file.read_bytes()])


def _read_recognizer(data: bytes, folder: Path) -> None:
    file = folder / "recognizer.onnx"
    file.write_bytes(data)
    Recognizer(TeacherSettings(path=str(file)), "cpu").embed(np.zeros((1, 112, 112, 3), np.uint8))


FORMATS: dict[str, Format] = {
    "MLmodel": Format(_mlmodel_files, _read_version),
    "baselines": Format(_baselines, _read_baseline, 2),
    "public weights": Format(_public_weights, _read_weights),
    "recognizers": Format(_recognizers, _read_recognizer, 2),
}
