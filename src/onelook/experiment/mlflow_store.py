"""The project's MLflow store: an SQLite file and a folder of artifacts, shared by all runs."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

EXPERIMENT = "onelook"
DATABASE = Path("mlflow/mlflow.db")
"""Path below the project's root."""


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

    Raises:
        Exception: any error of MLflow, SQLAlchemy or the file system; ValueError if the project was moved.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads these when it is imported
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the import sets INFO
    folder = (root / DATABASE).parent
    folder.mkdir(exist_ok=True)
    uri = f"sqlite:///{root / DATABASE}"
    artifacts = (folder / "artifacts").as_uri()
    with FileLock(folder / ".lock", timeout=120):  # two DVC workers may create the store at once
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
    if experiment and experiment.artifact_location != artifacts:
        raise ValueError(
            f"{folder} keeps its artifacts under {experiment.artifact_location}, where the project was before it "
            "was moved; move it back, or delete the folder to start anew"
        )
    return MlflowStore(client, uri, experiment_id)
