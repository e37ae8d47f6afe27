"""MLflow model registry: versions of "onelook", each a gallery with its model; an alias can point to a version.

A registered gallery is a read-only copy: a person removed from the gallery later stays in the copy, until
`version_removal` removes it.
"""

import re
from pathlib import Path
from typing import NamedTuple

from onelook.errors import ModelError
from onelook.experiment.gallery_copies import REGISTERED_MODEL
from onelook.experiment.lineage import content_md5, find_producer
from onelook.experiment.mlflow_store import DATABASE, MlflowStore, open_store
from onelook.experiment.pyfunc_model import MODEL_NAME, SERVING_SCRIPT, log_pyfunc
from onelook.workspace import project_root

_URI = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


class RegisteredVersion(NamedTuple):
    """The folders of a registered version."""

    model: Path
    gallery: Path


def is_registry_uri(model: str | Path | None) -> bool:
    """Return whether a model is given as `models:/...`, and not as a folder."""
    return model is not None and str(model).startswith("models:/")


def register_gallery(gallery: Path, model: Path, alias: str | None) -> str:
    """Register a gallery folder and its model as a new version, and move the alias to it.

    Returns:
        The version's number.

    Raises:
        ModelError: the alias is not valid.
    """
    if alias is not None and not re.fullmatch(r"(?!v?\d+$|latest$)[\w-]{1,256}", alias, re.ASCII | re.IGNORECASE):
        raise ModelError(f"{alias}: cannot be an alias; use letters, digits, _ and -, and neither a number nor latest")
    store = open_store(project_root(Path.cwd()))
    artifacts = {"model": model, "gallery": gallery}
    tags = {"stage": "register"}
    for path in artifacts.values():
        md5 = content_md5(path)
        tags[f"input.{md5}"] = path.as_posix()
        if producer := find_producer(store, md5):
            tags[f"origin.{md5}"] = producer.info.run_id
    run_id = store.client.create_run(store.experiment_id, tags=tags, run_name="register").info.run_id
    status = "FAILED"
    try:
        logged = log_pyfunc(store, run_id, SERVING_SCRIPT, artifacts, MODEL_NAME)
        if not store.client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
            store.client.create_registered_model(REGISTERED_MODEL)
        created = store.client.create_model_version(
            REGISTERED_MODEL, logged.model_uri, run_id, model_id=logged.model_id
        )
        version = str(created.version)
        if alias is not None:
            store.client.set_registered_model_alias(REGISTERED_MODEL, alias, version)
        status = "FINISHED"
    finally:
        store.client.set_terminated(run_id, status)
    return version


def download_version(uri: str) -> RegisteredVersion:
    """Return the folders of a version, `models:/onelook@champion` or `models:/onelook/3`.

    Raises:
        ModelError: the URI is malformed, there is no such version, or it has no gallery.
    """
    parts = parse_uri(uri)
    store = open_registry(uri)
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    mlflow.set_tracking_uri(store.uri)
    canonical = f"models:/{parts['name']}" + (f"@{parts['alias']}" if parts["alias"] else f"/{parts['version']}")
    try:
        folder = Path(mlflow.artifacts.download_artifacts(canonical))
        artifacts = Model.load(str(folder)).flavors["python_function"]["artifacts"]
        return RegisteredVersion(folder / artifacts["model"]["path"], folder / artifacts["gallery"]["path"])
    except (MlflowException, KeyError, OSError) as error:
        raise ModelError(f"{uri}: cannot be read ({_shorten(error)}); `onelook register` makes a version") from error


def parse_uri(uri: str) -> re.Match[str]:
    """Parse an address of the registry into the groups `name`, `alias` and `version`.

    Raises:
        ModelError: it is malformed.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise ModelError(f"{uri}: not an address of the registry; write models:/NAME@ALIAS or models:/NAME/VERSION")
    return parts


def open_registry(uri: str) -> MlflowStore:
    """Open the store of the project around the current folder, to read a version.

    Raises:
        ModelError: there is none; `uri` is named in the message.
    """
    root = project_root(Path.cwd())
    if not (root / DATABASE).is_file():
        raise ModelError(f"{uri}: {root / DATABASE} is absent, so nothing is registered; run `onelook register`")
    return open_store(root)


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
