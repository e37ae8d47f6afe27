from pathlib import Path

import pytest

from onelook.experiment.mlflow_store import open_store


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
