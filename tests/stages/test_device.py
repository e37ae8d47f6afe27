"""The stages evaluate and index compute on the device of params.yaml."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from helpers.stages import load_stage
from onelook.data.manifest import Face, Scene, write_manifest
from onelook.errors import OnelookError


@pytest.mark.parametrize("name", ["evaluate", "index"])
def test_a_missing_card_is_an_error_before_the_run_begins(
    name: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["base"]["device"] = "cuda"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    face = Face(np.array([1, 2, 30, 40], np.float32), identity="ann")
    write_manifest(tmp_path, [Scene("a.jpg", 64, 48, "test", "scene", (face,), "", "")])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    monkeypatch.chdir(tmp_path)
    released = project / "src/onelook/released"
    arguments = ["--scenes", ".", "--model", str(released), "--out", "out"]
    arguments += ["--evaluation", str(released)] if name == "index" else ["--baselines", "."]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    with pytest.raises(OnelookError, match=r"^device cuda: torch .* is built without CUDA; install the CUDA build"):
        load_stage(project, name).main()
    assert not (tmp_path / "mlflow").exists() and not (tmp_path / "out").exists()
