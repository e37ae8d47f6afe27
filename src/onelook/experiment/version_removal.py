"""Removal of registered versions with their files, which MLflow keeps when a version is deleted."""

import shutil
from pathlib import Path
from typing import Any

from onelook.errors import ModelError
from onelook.experiment.gallery_copies import REGISTERED_MODEL, find_gallery_copies
from onelook.experiment.mlflow_store import DATABASE, MlflowStore
from onelook.experiment.registry import open_registry, parse_uri
from onelook.workspace import project_root


def remove_version(uri: str) -> str:
    """Remove a registered version and its files for good; an interrupted removal can be repeated.

    Args:
        uri: `models:/onelook/3` or `models:/onelook@champion`.

    Returns:
        The version's number.

    Raises:
        ModelError: there is no such version, another version has the same files, or these cannot be removed.
    """
    store = open_registry(uri)
    version = _find_version(store, uri)
    model_id = _model_id(version)
    versions = store.client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
    others = [each.version for each in versions if each.version != version.version and _model_id(each) == model_id]
    if others:
        raise ModelError(f"{uri}: version {others[0]} has the same files; delete that one in MLflow (`make ui`) first")
    _remove_files(model_id)
    store.client.delete_model_version(REGISTERED_MODEL, version.version)
    store.client.delete_logged_model(model_id)
    return str(version.version)


def remove_orphans() -> int:
    """Remove the files of versions that were deleted in MLflow, and return the number of these versions."""
    copies = find_gallery_copies(project_root(Path.cwd()))
    orphans = {copy.model_id for copy in copies if copy.is_orphan}
    for model_id in orphans:
        _remove_files(model_id)
    return len(orphans)


def _find_version(store: MlflowStore, uri: str) -> Any:
    from mlflow.exceptions import MlflowException

    parts = parse_uri(uri)
    try:
        if parts["alias"]:
            return store.client.get_model_version_by_alias(parts["name"], parts["alias"])
        return store.client.get_model_version(parts["name"], parts["version"])
    except MlflowException as error:
        raise ModelError(f"{uri}: no such version; `make ui` lists them") from error


def _model_id(version: Any) -> str:
    """Return the id of the logged model of a version, whose source is `models:/ID`."""
    return Path(version.source).name


def _remove_files(model_id: str) -> None:
    folder = (project_root(Path.cwd()) / DATABASE).parent / "artifacts" / "models" / model_id
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be removed ({error.strerror or error}); remove it yourself") from error
