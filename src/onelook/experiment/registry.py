"""MLflow model registry: versions of "onelook", each a gallery with its model; an alias can point to a version.

A registered gallery is a read-only copy: a person removed from the gallery later stays in the copy, until
`version_removal` removes it.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from onelook.errors import ModelError, OnelookError
from onelook.experiment.gallery_copies import MLMODEL_FILE, REGISTERED_MODEL
from onelook.experiment.lineage import content_md5, find_producer
from onelook.experiment.mlflow_store import DATABASE, MlflowStore, open_store
from onelook.experiment.pyfunc_model import MODEL_NAME, SERVING_SCRIPT, log_pyfunc
from onelook.files import resolve_inside
from onelook.untrusted import one_line, parse_yaml, printable, read_limited
from onelook.workspace import project_root

_URI = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_MAX_MLMODEL_BYTES = 2**20


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
        ModelError: the URI is malformed, there is no such version, it has no gallery, or its `MLmodel` file is damaged.
    """
    parts = parse_uri(uri)
    store = open_registry(uri)
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(store.uri)
    canonical = f"models:/{parts['name']}" + (f"@{parts['alias']}" if parts["alias"] else f"/{parts['version']}")
    try:
        folder = Path(mlflow.artifacts.download_artifacts(canonical))
    except (MlflowException, KeyError, OSError) as error:
        raise ModelError(f"{uri}: cannot be read ({one_line(error)}); `onelook register` makes a version") from error
    return read_artifact_folders(folder)


def read_artifact_folders(folder: Path) -> RegisteredVersion:
    """Read the folders of the model and the gallery from the `MLmodel` file of a logged model, which is untrusted.

    Args:
        folder: of the logged model.

    Raises:
        ModelError: the file is missing or damaged, or names a folder outside `folder`.
    """
    path = folder / MLMODEL_FILE
    try:
        document = parse_yaml(read_limited(path, _MAX_MLMODEL_BYTES).decode("utf-8"))
        return RegisteredVersion(*(_artifact_folder(folder, document, name) for name in RegisteredVersion._fields))
    except (OSError, ValueError, RuntimeError) as error:  # a circle of links gives a RuntimeError before Python 3.13
        reason = f"{path}: cannot be used ({one_line(error)})"
        raise ModelError(f"{reason}; `onelook register` makes a new version") from error


def _artifact_folder(root: Path, document: Any, name: str) -> Path:
    """Return the folder of an artifact, which must lie in the folder of the logged model."""
    relative = document
    for key in ("flavors", "python_function", "artifacts", name, "path"):
        relative = relative.get(key) if isinstance(relative, dict) else None
    if not isinstance(relative, str):
        raise ValueError(f"no path of the artifact {name}")
    try:
        folder = resolve_inside(root, relative)
    except OnelookError:
        raise ValueError(f"{printable(relative)}: leaves the folder of the version") from None
    if not folder.is_dir():
        raise ValueError(f"{printable(relative)}: no such folder")
    return folder


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
