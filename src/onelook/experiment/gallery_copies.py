"""Galleries in the project's MLflow store: registered versions, and what deleted versions left. Needs no MLflow."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from onelook.experiment.mlflow_store import DATABASE

REGISTERED_MODEL = "onelook"
MLMODEL_FILE = "MLmodel"
"""File that MLflow writes into the folder of each logged model."""
_DELETED = "Deleted_Internal"
"""State of a version that was deleted in MLflow's pages or by its client; its files stay."""


class GalleryCopy(NamedTuple):
    """A gallery in the store.

    Attributes:
        gallery: its folder.
        model_id: id of MLflow's logged model that contains it.
        version: number of the registered version; None: it has none, or a deleted one.
        is_orphan: it was registered, and no version uses it any more.
    """

    gallery: Path
    model_id: str
    version: str | None
    is_orphan: bool


def find_gallery_copies(root: Path) -> list[GalleryCopy]:
    """Find the galleries in the MLflow store of a project; none without a store.

    Args:
        root: root of the project.
    """
    if not (root / DATABASE).is_file():
        return []
    try:
        versions, registered = _read_versions(root / DATABASE)
    except sqlite3.Error:  # locked, damaged or of another version: the files are there all the same
        versions, registered = {}, set()
    copies = []
    for marker in sorted((root / DATABASE).parent.glob(f"artifacts/models/*/artifacts/{MLMODEL_FILE}")):
        model_id = marker.parents[1].name
        for gallery in _galleries(marker.parent):
            version = versions.get(model_id)
            copies.append(GalleryCopy(gallery, model_id, version, version is None and model_id in registered))
    return copies


def _galleries(folder: Path) -> list[Path]:
    """Return the folders below the artifacts of a logged model that are no model folder."""
    artifacts = folder / "artifacts"
    folders = sorted(artifacts.iterdir()) if artifacts.is_dir() else []
    return [each for each in folders if each.is_dir() and not (each / "model.json").exists()]


def _read_versions(database: Path) -> tuple[dict[str, str], set[str]]:
    """Read the latest version of each registered logged model, and the models that were ever registered."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT version, storage_location FROM model_versions WHERE name = ? AND current_stage != ?",
            (REGISTERED_MODEL, _DELETED),
        ).fetchall()
        ids = connection.execute(
            "SELECT model_id FROM logged_models JOIN tags ON run_uuid = source_run_id "
            "WHERE key = 'stage' AND value = 'register'"
        ).fetchall()
    # The location ends in models/ID/artifacts, wherever the project lay when it was written.
    return {Path(location).parent.name: str(version) for version, location in rows if location}, {id for (id,) in ids}
