"""Runs under a real DVC: a parent per `dvc repro` and experiment, all in the project's store."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

STAGE = """
import sys
from pathlib import Path
from onelook.settings import load_settings
from onelook.experiment.stage_run import stage_run

name, *paths = sys.argv[1:]
settings = load_settings(Path("params.yaml"))
*inputs, output = map(Path, paths)
with stage_run(name, settings, inputs=inputs, outputs=[output]) as run:
    own = settings.base.seed if name == "prepare" else settings.index.split
    content = "".join(path.read_text() for path in inputs) + str(own)
    output.write_text(content)
    run.log_metrics({"length": len(content)})
"""


@pytest.fixture
def pipeline(workspace: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a DVC project in git with two small stages; `index` reads the output of `prepare`."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tester@example.org")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    shutil.copytree(
        project / ".dvc", workspace / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"), dirs_exist_ok=True
    )
    shutil.copy(project / "params.yaml", workspace)
    (workspace / "stage.py").write_text(STAGE)
    (workspace / ".gitignore").write_text("/made\n/used\n/mlflow/\n")
    stages = {
        "prepare": {"cmd": "python stage.py prepare made", "params": ["base"], "outs": ["made"]},
        "index": {"cmd": "python stage.py index made used", "deps": ["made"], "params": ["index"], "outs": ["used"]},
    }
    (workspace / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    _command("git", "init", "--quiet")
    _command("dvc", "repro")
    _command("git", "add", "--all")
    _command("git", "commit", "--quiet", "--message", "start")
    return workspace


def _command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MLflow lacks" not in done.stderr
    return done.stdout


def _parents(runs: list[Any]) -> list[tuple[str, list[str], dict[str, float]]]:
    """Return each parent's name, its children's stages and its metrics, oldest first."""
    children = {run.info.run_id: [] for run in runs if "mlflow.parentRunId" not in run.data.tags}
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            children[run.data.tags["mlflow.parentRunId"]].append(run.data.tags["stage"])
    return [
        (run.info.run_name, children[run.info.run_id], run.data.metrics) for run in runs if run.info.run_id in children
    ]


def test_repro_and_experiments_are_parents_with_stages_in_one_store(
    pipeline: Path, runs: Callable[[], list[Any]]
) -> None:
    _command("dvc", "repro")
    _command("dvc", "exp", "run", "--temp", "--name", "aside", "--set-param", "index.split=validation")
    _command("dvc", "exp", "run", "--name", "here", "--set-param", "base.seed=7")
    found = runs()
    repro, aside, here = _parents(found)
    assert repro == ("repro", ["prepare", "index"], {"prepare/length": 4.0, "index/length": 8.0})  # 2026, 2026test
    # The copy ran `index` only; the metrics of `prepare` come from the run that wrote its output.
    assert aside == ("aside", ["index"], {"prepare/length": 4.0, "index/length": 14.0})
    assert here == ("here", ["prepare", "index"], {"prepare/length": 1.0, "index/length": 5.0})
    assert {run.info.status for run in found} == {"FINISHED"}
    assert {run.info.artifact_uri.startswith((pipeline / "mlflow" / "artifacts").as_uri()) for run in found} == {True}
    commit = _command("git", "rev-parse", "HEAD").strip()
    tags = next(run.data.tags for run in found if run.info.run_name == "aside")
    assert (tags["mlflow.source.git.commit"], tags["dvc.experiment"]) == (commit, "aside")
