"""Registered galleries are found and removed with their files, as is what MLflow leaves of deleted versions."""

from pathlib import Path

import pytest

from helpers.coded_faces import metadata
from onelook.errors import ModelError
from onelook.experiment.gallery_copies import find_gallery_copies
from onelook.experiment.mlflow_store import open_store
from onelook.experiment.version_removal import remove_orphans, remove_version
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata, empty_gallery

__all__ = ["metadata"]


def register(root: Path, metadata: GalleryMetadata, number: int) -> str:
    """Register a gallery as `registry.register_gallery` does, without a model and the package's code."""
    client = (store := open_store(root)).client
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    run_id = client.create_run(store.experiment_id, tags={"stage": "register"}).info.run_id
    logged = client.create_logged_model(store.experiment_id, name="identifier", source_run_id=run_id)
    folder = root / "mlflow/artifacts/models" / logged.model_id / "artifacts"
    storage.create(folder / "artifacts/gallery", empty_gallery(metadata))
    (folder / "MLmodel").write_text("flavors: {}")
    if number == 1:
        client.create_registered_model("onelook")
    client.create_model_version("onelook", f"models:/{logged.model_id}", run_id, model_id=logged.model_id)
    return str(logged.model_id)


def test_versions_are_removed_with_their_files(workspace: Path, metadata: GalleryMetadata) -> None:
    assert find_gallery_copies(workspace / "elsewhere") == find_gallery_copies(workspace) == []
    ids = [register(workspace, metadata, number) for number in (1, 2, 3)]
    client = open_store(workspace).client
    client.set_registered_model_alias("onelook", "champion", "3")
    client.delete_model_version("onelook", "2")  # as MLflow's pages do
    found = {copy.model_id: copy for copy in find_gallery_copies(workspace)}
    assert [(found[each].version, found[each].is_orphan) for each in ids] == [("1", False), (None, True), ("3", False)]
    assert all(storage.is_gallery(copy.gallery) for copy in found.values())

    assert (remove_version("models:/onelook@champion"), remove_orphans(), remove_orphans()) == ("3", 1, 0)
    assert [copy.model_id for copy in find_gallery_copies(workspace)] == ids[:1]
    assert [path.name for path in (workspace / "mlflow/artifacts/models").iterdir()] == ids[:1]
    assert [version.version for version in client.search_model_versions("name = 'onelook'")] in (["1"], [1])
    for uri in ("models:/onelook/3", "models:/onelook@champion", "models:/onelook/9"):
        with pytest.raises(ModelError, match="no such version"):
            remove_version(uri)
    # An interrupted removal, whose files are gone already, is completed.
    (workspace / "mlflow/artifacts/models" / ids[0]).rename(workspace / "gone")
    assert remove_version("models:/onelook/1") == "1"


def test_files_of_two_versions_are_not_removed_with_one(workspace: Path, metadata: GalleryMetadata) -> None:
    model_id = register(workspace, metadata, 1)
    client = open_store(workspace).client
    client.create_model_version("onelook", f"models:/{model_id}", model_id=model_id)
    with pytest.raises(ModelError, match="version 2 has the same files"):
        remove_version("models:/onelook/1")
    assert len(find_gallery_copies(workspace)) == 1
