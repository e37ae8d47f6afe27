"""A project of one's own for every test that tracks."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onelook.experiment.mlflow_store import connect
from onelook.settings import Settings, load_settings


@pytest.fixture
def settings(project: Path) -> Settings:
    return load_settings(project / "params.yaml")


@pytest.fixture
def new_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DVC project with a space in its path; the current folder of the test."""
    folder = tmp_path / "my project"
    (folder / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a store without runs; making one takes seconds."""
    root = tmp_path_factory.mktemp("store")
    connect(root)
    return root / "mlflow" / "mlflow.db"


@pytest.fixture
def workspace(new_workspace: Path, empty_store: Path) -> Path:
    """A new workspace whose store is there already."""
    folder = new_workspace / "mlflow"
    folder.mkdir()
    shutil.copy(empty_store, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        location = (folder / "artifacts").as_uri()
        database.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'onelook'", [location])
    return new_workspace


@pytest.fixture
def runs() -> Callable[[], list[Any]]:
    """All the runs of the current folder's store, the oldest first, read by MLflow's own client."""

    def read() -> list[Any]:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{Path.cwd() / 'mlflow' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("onelook")
        assert experiment is not None
        return client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])

    return read
