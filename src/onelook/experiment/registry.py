"""MLflow's registry: a gallery and its model are kept together as a version of "onelook", which an alias can name.

A registered gallery is a copy: it is read, never changed, and who is forgotten afterwards stays in it.
"""

import re
from pathlib import Path
from typing import NamedTuple

from onelook.errors import ModelError
from onelook.experiment.lineage import content_md5, producer
from onelook.experiment.mlflow_store import DATABASE, connect, project_root
from onelook.experiment.pyfunc_model import NAME, SERVING, log_pyfunc

REGISTERED = "onelook"
_ADDRESS = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


class Folders(NamedTuple):
    """What a version holds."""

    model: Path
    gallery: Path


def is_address(model: str | Path | None) -> bool:
    """Whether a model is named by the registry, `models:/...`, and not by a folder."""
    return model is not None and str(model).startswith("models:/")


def register(gallery: Path, model: Path, alias: str | None) -> str:
    """Keep a gallery folder and the model it was made with as a new version; the alias then names it alone.

    Returns:
        The version's number.

    Raises:
        ModelError: the alias cannot be one.
    """
    if alias is not None and not re.fullmatch(r"(?!v?\d+$|latest$)[\w-]{1,256}", alias, re.ASCII | re.IGNORECASE):
        raise ModelError(f"{alias}: cannot be an alias; use letters, digits, _ and -, and neither a number nor latest")
    store = connect(project_root(Path.cwd()))
    artifacts = {"model": model, "gallery": gallery}
    tags = {"stage": "register"}
    for path in artifacts.values():
        md5 = content_md5(path)
        tags[f"input.{md5}"] = path.as_posix()
        if origin := producer(store, md5):
            tags[f"origin.{md5}"] = origin.info.run_id
    run = store.client.create_run(store.experiment, tags=tags, run_name="register").info.run_id
    status = "FAILED"
    try:
        logged = log_pyfunc(store, run, SERVING, artifacts, NAME)
        if not store.client.search_registered_models(f"name = '{REGISTERED}'"):
            store.client.create_registered_model(REGISTERED)
        made = store.client.create_model_version(REGISTERED, logged.model_uri, run, model_id=logged.model_id)
        version = str(made.version)
        if alias is not None:
            store.client.set_registered_model_alias(REGISTERED, alias, version)
        status = "FINISHED"
    finally:
        store.client.set_terminated(run, status)
    return version


def fetch(address: str) -> Folders:
    """The folders of a version, `models:/onelook@champion` or `models:/onelook/3`.

    Raises:
        ModelError: the address is none, there is no such version, or it holds no gallery.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise ModelError(f"{address}: not an address of the registry; write models:/NAME@ALIAS or models:/NAME/VERSION")
    root = project_root(Path.cwd())
    if not (root / DATABASE).is_file():
        raise ModelError(f"{address}: {root / DATABASE} is absent, so nothing is registered; run `onelook register`")
    store = connect(root)
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    mlflow.set_tracking_uri(store.uri)
    name = f"models:/{parts['name']}" + (f"@{parts['alias']}" if parts["alias"] else f"/{parts['version']}")
    try:
        folder = Path(mlflow.artifacts.download_artifacts(name))
        kept = Model.load(str(folder)).flavors["python_function"]["artifacts"]
        return Folders(folder / kept["model"]["path"], folder / kept["gallery"]["path"])
    except (MlflowException, KeyError, OSError) as error:
        raise ModelError(f"{address}: cannot be had ({_line(error)}); `onelook register` makes a version") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
