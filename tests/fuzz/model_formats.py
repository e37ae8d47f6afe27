"""The formats of models beside the model folder: registered versions."""

from pathlib import Path

import yaml
from hypothesis import strategies as st

from fuzz.formats import Format
from fuzz.mutations import damaged_lines, damaged_tree, dump
from onelook.experiment.gallery_copies import MLMODEL_FILE
from onelook.experiment.registry import read_artifact_folders

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


FORMATS: dict[str, Format] = {
    "MLmodel": Format(_mlmodel_files, _read_version),
}
