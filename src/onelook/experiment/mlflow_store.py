"""The project's MLflow store: an SQLite file and a folder of artifacts, shared by all runs."""

import logging
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onelook.file_locks import hold_lock

EXPERIMENT = "onelook"
DATABASE = Path("mlflow/mlflow.db")
"""Path below the project's root."""
EXPERIMENT_KIND = "mlflow.experimentKind"
"""Tag by which MLflow's pages show training runs instead of traces of language models."""
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Tables and columns with absolute paths of artifacts."""


@dataclass(frozen=True)
class MlflowStore:
    """An open MLflow store.

    Attributes:
        client: an `MlflowClient`.
        uri: the tracking URI.
        experiment_id: id of the one experiment that all runs belong to.
    """

    client: Any
    uri: str
    experiment_id: str


def open_store(root: Path) -> MlflowStore:
    """Open the store under `root`/mlflow, and create it if it is absent.

    The paths of a store that was moved with its project are corrected.

    Raises:
        Exception: any error of MLflow, SQLAlchemy or the file system.
    """
    # MLflow reads it when it is imported.
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the import sets INFO
    folder = (root / DATABASE).parent
    folder.mkdir(mode=0o700, exist_ok=True)  # registered galleries hold people
    uri = f"sqlite:///{root / DATABASE}"
    artifacts = (folder / "artifacts").as_uri()
    busy = f"{folder}: another process has been opening it for two minutes; try again when it has ended"
    with hold_lock(folder / ".lock", busy=busy, timeout=120):  # two DVC workers may create the store at once
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
        if experiment and experiment.artifact_location != artifacts:
            _relocate(root / DATABASE, experiment.artifact_location, artifacts)
        if experiment is None or EXPERIMENT_KIND not in experiment.tags:
            client.set_experiment_tag(experiment_id, EXPERIMENT_KIND, "custom_model_development")
    return MlflowStore(client, uri, experiment_id)


def _relocate(database: Path, old: str, new: str) -> None:
    """Replace the start of the artifact locations of experiments, runs and models."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _LOCATIONS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
                (new, len(old) + 1, len(old) + 1, f"{old}/"),
            )
