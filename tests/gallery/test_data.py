"""Renaming and merging people, and how much their rows count."""

from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata
from onelook.gallery.face_quality import Quality


@pytest.fixture
def contents(terms: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(4, terms.embedding_size))
    entries = tuple(Entry(person=name, photo=name, sha256=f"{i:064x}") for i, name in enumerate("abac"))
    return GalleryData(terms, entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_renaming_changes_the_name_and_nothing_else(contents: GalleryData) -> None:
    renamed = contents.renamed("a", "z")
    assert renamed.owners == ["z", "b", "z", "c"]
    assert [entry.sha256 for entry in renamed.entries] == [entry.sha256 for entry in contents.entries]
    np.testing.assert_array_equal(renamed.embeddings, contents.embeddings)
    assert renamed.renamed("z", "a").entries == contents.entries
    assert contents.renamed("a", "a").entries == contents.entries


def test_merging_gives_all_rows_to_one(contents: GalleryData) -> None:
    merged = contents.merged("b", "a")
    assert merged.owners == ["a", "a", "a", "c"]
    np.testing.assert_array_equal(merged.embeddings, contents.embeddings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.renamed("x", "y"), "x: nobody of that name"),
        (lambda c: c.renamed("a", "b"), "b: enrolled already; `onelook merge`"),
        (lambda c: c.merged("x", "a"), "x: nobody of that name"),
        (lambda c: c.merged("a", "x"), "x: nobody of that name"),
        (lambda c: c.merged("a", "a"), "cannot be merged with itself"),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_the_gallery(
    tmp_path: Path, contents: GalleryData, change, said: str
) -> None:
    storage.create(tmp_path / "g", contents)
    with pytest.raises(GalleryError, match=said):
        storage.change(tmp_path / "g", change)
    assert storage.read(tmp_path / "g").entries == contents.entries


def test_of_the_old_name_nothing_is_left(tmp_path: Path, contents: GalleryData, files) -> None:
    storage.create(tmp_path / "g", contents.renamed("a", "Anneliese").renamed("b", "Bob"))
    for change in (lambda c: c.renamed("Anneliese", "Anna"), lambda c: c.merged("Bob", "Anna")):
        storage.change(tmp_path / "g", change)
    everything = b"".join(files(tmp_path / "g").values())
    assert b"Anna" in everything
    assert b"Anneliese" not in everything and b"Bob" not in everything


def test_rows_are_as_long_as_they_count(contents: GalleryData) -> None:
    poor = contents.entries[1].model_copy(update={"quality": Quality(score=0.8, size=1e3, sharpness=0)})
    weighted = GalleryData(contents.terms, (contents.entries[0], poor, *contents.entries[2:]), contents.embeddings)
    np.testing.assert_allclose(np.linalg.norm(weighted.weighted(), axis=1), [1, poor.weight, 1, 1], rtol=1e-6)
    assert 0 < poor.weight < 0.1
