"""A model folder and a gallery folder as one MLflow model, which `mlflow.pyfunc.load_model` reads."""

import re
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from onelook.experiment.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

PACKAGE = Path(__file__).resolve().parents[1]
SERVING = PACKAGE / "serving.py"
NAME = "identifier"


def log_pyfunc(store: MlflowStore, run: str, code: Path, artifacts: Mapping[str, Path], name: str) -> "ModelInfo":
    """Log a pyfunc model from the file `code`, with the package beside it: it need not be installed to load.

    Args:
        store: the open store.
        run: id of the run it belongs to.
        code: the file that defines the model.
        artifacts: the folders it reads, by the names it knows them by.
        name: of the model in its run.
    """
    import mlflow
    from mlflow.models import Model

    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.experiment)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # asks for type hints that photos of any kind cannot have
        return Model.log(
            artifact_path=None,
            name=name,
            flavor=mlflow.pyfunc,
            run_id=run,
            python_model=str(code),
            artifacts={key: str(path) for key, path in artifacts.items()},
            code_paths=[str(PACKAGE)],
            pip_requirements=_requirements(),
        )


def _requirements() -> list[str]:
    """The package's own requirements at the versions in use; a build's local mark (torch's +cpu) is left out."""
    lines = [line for line in requires("onelook") or [] if "extra ==" not in line]
    return [pinned for line in lines if (pinned := _pinned(line)) is not None]


def _pinned(requirement: str) -> str | None:
    """At the version in use and for the same systems; None where it is for others than this one."""
    name = re.split(r"[^\w.-]", requirement)[0]
    _, semicolon, systems = requirement.partition(";")
    try:
        return f"{name}=={version(name).partition('+')[0]}{semicolon}{systems}"
    except PackageNotFoundError:
        return None
