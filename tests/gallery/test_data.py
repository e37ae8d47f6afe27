"""Edits of gallery data, and template weights."""

from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.face_quality import Quality
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(4, metadata.embedding_size))
    entries = tuple(EnrolledFace(person=name, photo=name, sha256=f"{i:064x}") for i, name in enumerate("abac"))
    return GalleryData(metadata, entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_rename_changes_only_the_name(data: GalleryData) -> None:
    renamed = data.rename("a", "z")
    assert renamed.identities == ["z", "b", "z", "c"]
    assert [entry.sha256 for entry in renamed.faces] == [entry.sha256 for entry in data.faces]
    np.testing.assert_array_equal(renamed.embeddings, data.embeddings)
    assert renamed.rename("z", "a").faces == data.faces
    assert data.rename("a", "a").faces == data.faces


def test_merge_relabels_all_faces(data: GalleryData) -> None:
    merged = data.merge("b", "a")
    assert merged.identities == ["a", "a", "a", "c"]
    np.testing.assert_array_equal(merged.embeddings, data.embeddings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.rename("x", "y"), "x: nobody of that name"),
        (lambda c: c.rename("a", "b"), "b: enrolled already; `onelook merge`"),
        (lambda c: c.merge("x", "a"), "x: nobody of that name"),
        (lambda c: c.merge("a", "x"), "x: nobody of that name"),
        (lambda c: c.merge("a", "a"), "cannot be merged with itself"),
    ],
)
def test_refused_edits_leave_the_gallery_unchanged(tmp_path: Path, data: GalleryData, change, said: str) -> None:
    storage.create(tmp_path / "g", data)
    with pytest.raises(GalleryError, match=said):
        storage.update(tmp_path / "g", change)
    assert storage.read(tmp_path / "g").faces == data.faces


def test_the_old_name_is_removed_from_all_files(tmp_path: Path, data: GalleryData, files) -> None:
    storage.create(tmp_path / "g", data.rename("a", "Anneliese").rename("b", "Bob"))
    for change in (lambda c: c.rename("Anneliese", "Anna"), lambda c: c.merge("Bob", "Anna")):
        storage.update(tmp_path / "g", change)
    everything = b"".join(files(tmp_path / "g").values())
    assert b"Anna" in everything
    assert b"Anneliese" not in everything and b"Bob" not in everything


def test_rows_are_as_long_as_they_count(data: GalleryData) -> None:
    poor = data.faces[1].model_copy(update={"quality": Quality(score=0.8, size=1e3, sharpness=0)})
    weighted = GalleryData(data.metadata, (data.faces[0], poor, *data.faces[2:]), data.embeddings)
    np.testing.assert_allclose(weighted.weights, [1, poor.weight, 1, 1])
    assert 0 < poor.weight < 0.1
