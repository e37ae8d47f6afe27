"""Logging of a model folder, alone or with a gallery, as one MLflow model ("models from code")."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from onelook.experiment.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

PACKAGE = Path(__file__).resolve().parents[1]
SERVING_SCRIPT = Path(__file__).with_name("serving.py")
"""The file that defines the logged model."""
MODEL_NAME = "identifier"
"""Name of the logged model in its run."""
_EXTRA = re.compile(r"""( and |; *)extra == ["']train["']$""")
_GPU_BUILD = "faiss-gpu"
"""The package of FAISS that may be installed instead of faiss-cpu."""


def log_pyfunc(store: MlflowStore, run_id: str, script: Path, artifacts: Mapping[str, Path], name: str) -> "ModelInfo":
    """Log a pyfunc model and the package's source, so that loading needs no installed onelook.

    Args:
        store: the open store.
        run_id: the run that the model belongs to.
        script: the file that defines the model.
        artifacts: the folders that the model reads, by the names in its context.
        name: name of the model in its run.
    """
    import mlflow
    from mlflow.models import Model

    mlflow.set_tracking_uri(store.uri)
    mlflow.set_experiment(experiment_id=store.experiment_id)
    return Model.log(
        artifact_path=None,
        name=name,
        flavor=mlflow.pyfunc,
        run_id=run_id,
        python_model=str(script),
        artifacts={key: str(path) for key, path in artifacts.items()},
        code_paths=[str(PACKAGE)],
        pip_requirements=pinned_requirements(),
    )


def pinned_requirements() -> list[str]:
    """Return the package's requirements with the extra `train`, pinned to the installed versions.

    Other extras and requirements of other systems are left out, except FAISS, which searches the gallery. A local
    version label, such as torch's +cpu, is dropped.
    """
    lines = [_EXTRA.sub("", line) for line in requires("onelook") or []]
    lines = [line for line in lines if "extra ==" not in line] + [_GPU_BUILD]
    return [pinned for line in lines if (pinned := _pin(line)) is not None]


def _pin(requirement: str) -> str | None:
    """Pin a requirement and keep its marker; return None if the package is not installed."""
    name = re.split(r"[^\w.-]", requirement)[0]
    _, semicolon, marker = requirement.partition(";")
    try:
        return f"{name}=={version(name).partition('+')[0]}{semicolon}{marker}"
    except PackageNotFoundError:
        return None
