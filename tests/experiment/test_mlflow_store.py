from pathlib import Path

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


def test_runs_and_registered_models_of_a_moved_project_are_found(workspace: Path) -> None:
    store = open_store(workspace)
    (workspace / "curve.csv").write_text("1")
    run_id = store.client.create_run(store.experiment_id).info.run_id
    store.client.log_artifact(run_id, str(workspace / "curve.csv"))
    logged = store.client.create_logged_model(store.experiment_id, name="identifier", source_run_id=run_id)
    store.client.log_model_artifact(logged.model_id, str(workspace / "curve.csv"))
    moved = open_store(workspace.rename(workspace.with_name("moved")))
    assert Path(moved.client.download_artifacts(run_id, "curve.csv")).read_text() == "1"
    location = moved.client.get_logged_model(logged.model_id).artifact_location
    assert location.startswith(workspace.with_name("moved").as_uri())
    experiment = moved.client.get_experiment(moved.experiment_id)
    assert experiment.artifact_location == (workspace.with_name("moved") / "mlflow" / "artifacts").as_uri()
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
