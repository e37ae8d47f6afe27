from pathlib import Path

import pytest

from onelook.experiment.mlflow_store import open_store, project_root


def _project(folder: Path) -> Path:
    (folder / ".dvc").mkdir(parents=True)
    return folder


def test_the_root_is_the_nearest_project(tmp_path: Path) -> None:
    inner = _project(_project(tmp_path / "outer") / "inner")
    (inner / "a" / "b").mkdir(parents=True)
    assert project_root(inner / "a" / "b") == inner
    assert project_root(inner) == inner


def test_the_root_of_an_experiments_copy_is_the_original_project(tmp_path: Path) -> None:
    original = _project(tmp_path / "project")
    copy = _project(original / ".dvc" / "tmp" / "exps" / "tmp_abc")
    assert project_root(copy) == original
    (copy / "stages").mkdir()
    assert project_root(copy / "stages") == original


def test_outside_a_project_the_root_is_the_folder_itself(tmp_path: Path) -> None:
    assert project_root(tmp_path) == tmp_path


def test_a_store_is_created_once_with_artifacts_inside_the_project(tmp_path: Path) -> None:
    root = tmp_path / "prøject 1"
    root.mkdir()
    first = open_store(root)
    again = open_store(root)
    assert first.experiment_id == again.experiment_id
    assert (
        first.client.get_experiment(first.experiment_id).artifact_location == (root / "mlflow" / "artifacts").as_uri()
    )
    assert [path.name for path in sorted((root / "mlflow").iterdir())] == [".lock", "mlflow.db"]


def test_the_store_of_a_moved_project_is_refused(workspace: Path) -> None:
    moved = workspace.rename(workspace.with_name("moved"))
    with pytest.raises(ValueError, match="was moved"):
        open_store(moved)
    assert not workspace.exists()
