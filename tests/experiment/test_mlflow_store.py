"""Where the store is, for a project and for the copies DVC runs experiments in."""

from pathlib import Path

import pytest

from onelook.experiment.mlflow_store import connect, project_root


def _project(folder: Path) -> Path:
    (folder / ".dvc").mkdir(parents=True)
    return folder


def test_the_root_is_the_nearest_project(tmp_path: Path) -> None:
    inner = _project(_project(tmp_path / "outer") / "inner")
    (inner / "a" / "b").mkdir(parents=True)
    assert project_root(inner / "a" / "b") == inner
    assert project_root(inner) == inner


def test_an_experiments_copy_belongs_to_the_project_it_was_copied_from(tmp_path: Path) -> None:
    original = _project(tmp_path / "project")
    copy = _project(original / ".dvc" / "tmp" / "exps" / "tmp_abc")
    assert project_root(copy) == original
    (copy / "stages").mkdir()
    assert project_root(copy / "stages") == original


def test_outside_any_project_it_is_the_folder_itself(tmp_path: Path) -> None:
    assert project_root(tmp_path) == tmp_path


def test_a_store_is_made_once_with_its_artifacts_inside_the_project(tmp_path: Path) -> None:
    root = tmp_path / "prøject 1"
    root.mkdir()
    first = connect(root)
    again = connect(root)
    assert first.experiment == again.experiment
    assert first.client.get_experiment(first.experiment).artifact_location == (root / "mlflow" / "artifacts").as_uri()
    assert [path.name for path in sorted((root / "mlflow").iterdir())] == [".lock", "mlflow.db"]


def test_a_moved_project_does_not_write_where_it_was(workspace: Path) -> None:
    moved = workspace.rename(workspace.with_name("moved"))
    with pytest.raises(ValueError, match="was moved"):
        connect(moved)
    assert not workspace.exists()
