"""Temporary DVC projects with an MLflow store."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onelook.experiment.mlflow_store import open_store
from onelook.settings import Settings, load_settings


@pytest.fixture
def settings(project: Path) -> Settings:
    return load_settings(project / "params.yaml")


@pytest.fixture
def new_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into an empty DVC project whose path has a space."""
    folder = tmp_path / "my project"
    (folder / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a store without runs; creating one takes seconds."""
    root = tmp_path_factory.mktemp("store")
    open_store(root)
    return root / "mlflow" / "mlflow.db"


@pytest.fixture
def workspace(new_workspace: Path, empty_store: Path) -> Path:
    """Return a new workspace with an empty store."""
    folder = new_workspace / "mlflow"
    folder.mkdir()
    shutil.copy(empty_store, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        location = (folder / "artifacts").as_uri()
        database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'onelook'", [location])
    return new_workspace


@pytest.fixture
def runs() -> Callable[[], list[Any]]:
    """Return a reader of the runs in the current folder's store, oldest first, by MLflow's client."""

    def read() -> list[Any]:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{Path.cwd() / 'mlflow' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("onelook")
        assert experiment is not None
        return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])

    return read
