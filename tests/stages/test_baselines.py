"""The stage baselines: none by default, and none that the settings no longer name."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from helpers.painted_scenes import write_painted_scenes
from helpers.stages import load_stage
from helpers.training_settings import UNCROPPED, changed, tiny_settings
from onelook.model.baseline_folder import find_baselines, load_baseline
from onelook.model.mtcnn import Mtcnn


def run_stage(project: Path, names: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the stage in a folder with scenes; return its output."""
    tree = changed(tiny_settings(epochs=1, batch_size=7), augment=UNCROPPED).model_dump(mode="json")
    (folder / "params.yaml").write_text(yaml.safe_dump(tree | {"baselines": names}))
    out = folder / "build/baselines"
    arguments = ["--scenes", str(folder / "scenes"), "--checkpoints", str(folder / "checkpoints"), "--out", str(out)]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["baselines.py", *arguments])
    load_stage(project, "baselines").main()
    assert json.loads((out / "baselines.json").read_text()) == names
    return out


def test_the_named_baselines_are_in_the_output_and_no_others(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_painted_scenes(tmp_path / "scenes")
    out = run_stage(project, ["mtcnn"], tmp_path, monkeypatch)
    assert find_baselines(out) == {"mtcnn": out / "mtcnn"} and isinstance(load_baseline(out / "mtcnn"), Mtcnn)
    assert json.loads((out.parent / "baselines_timing.json").read_text()).keys() == {"mtcnn"}
    weights = (out / "mtcnn/model.safetensors").read_bytes()
    again = run_stage(project, ["mtcnn"], tmp_path, monkeypatch)  # from the last checkpoint
    assert (again / "mtcnn/model.safetensors").read_bytes() == weights
    run_stage(project, [], tmp_path, monkeypatch)
    assert [path.name for path in out.iterdir()] == ["baselines.json"]
