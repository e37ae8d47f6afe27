"""Where the MLflow store is: an sqlite file and a folder of artifacts in the project, shared by all its experiments."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

EXPERIMENT = "onelook"
DATABASE = Path("mlflow/mlflow.db")
"""Of a project."""


@dataclass(frozen=True)
class MlflowStore:
    """An open store: MLflow's client, the store's address and the id of the one experiment all runs belong to."""

    client: Any
    uri: str
    experiment: str


def project_root(start: Path) -> Path:
    """The DVC project that `start` lies in; from an experiment's copy, the project that was copied.

    `dvc exp run --temp` and queued experiments run in copies under .dvc/tmp/exps, which are removed afterwards.
    Outside any project it is `start` itself.
    """
    start = start.resolve()
    nearest = next((folder for folder in (start, *start.parents) if (folder / ".dvc").is_dir()), start)
    for folder in nearest.parents:
        if folder.name == ".dvc" and nearest.is_relative_to(folder / "tmp" / "exps"):
            return folder.parent
    return nearest


def connect(root: Path) -> MlflowStore:
    """Open the store under `root`/mlflow, making it where there is none.

    Raises:
        Exception: whatever MLflow, SQLAlchemy or the file system raise; ValueError when the project has been moved.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read while MLflow is imported
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing it sets INFO
    folder = (root / DATABASE).parent
    folder.mkdir(exist_ok=True)
    uri = f"sqlite:///{root / DATABASE}"
    location = (folder / "artifacts").as_uri()
    with FileLock(folder / ".lock", timeout=120):  # two queue workers may both be the first
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        identifier = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, location)
    if experiment and experiment.artifact_location != location:
        raise ValueError(
            f"{folder} keeps its artifacts under {experiment.artifact_location}, where the project was before it "
            "was moved; move it back, or delete the folder to start anew"
        )
    return MlflowStore(client, uri, identifier)
