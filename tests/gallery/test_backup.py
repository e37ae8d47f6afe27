"""Backups: one file that gives the gallery back, or says that it cannot."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.face_quality import Quality

Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def contents(terms: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(3, terms.embedding_size))
    quality = Quality(score=0.9, size=100.5, sharpness=0.4)
    entries = tuple(
        Entry(person=name, photo=f"{name}.jpg", sha256=f"{i:064x}", quality=quality)
        for i, name in enumerate(["Anna", "Çağla", "Anna"])
    )
    return GalleryData(terms, entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_a_gallery_comes_back_to_the_byte(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", contents)
    before = files(tmp_path / "g")
    write_backup(tmp_path / "b.zip", storage.read(tmp_path / "g"))
    storage.change(tmp_path / "g", lambda c: c.without("Anna"))
    storage.restore(tmp_path / "g", read_backup(tmp_path / "b.zip"))
    assert files(tmp_path / "g") == before
    storage.restore(tmp_path / "deep" / "other", read_backup(tmp_path / "b.zip"))
    assert files(tmp_path / "deep" / "other") == before
    write_backup(tmp_path / "again.zip", storage.read(tmp_path / "g"))
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_any_zip_program_reads_it(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", contents)
    write_backup(tmp_path / "b.zip", contents)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "g")


def test_a_backup_is_never_written_over(tmp_path: Path, contents: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", contents)
    with pytest.raises(GalleryError, match="never written over"):
        write_backup(tmp_path / "b.zip", empty_gallery(contents.terms))
    assert read_backup(tmp_path / "b.zip").entries == contents.entries


def test_any_changed_byte_is_found_or_changes_nothing(tmp_path: Path, contents: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", contents)
    whole = (tmp_path / "b.zip").read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        (tmp_path / "b.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            again = read_backup(tmp_path / "b.zip")
        except GalleryError as error:
            refused += 1
            assert "\n" not in str(error) and "b.zip" in str(error)
        else:
            assert (again.terms, again.entries) == (contents.terms, contents.entries)
            np.testing.assert_array_equal(again.embeddings, contents.embeddings)
    assert refused > 0.8 * len(whole) / 5


def test_a_cut_or_foreign_file_is_refused(tmp_path: Path, contents: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", contents)
    whole = (tmp_path / "b.zip").read_bytes()
    for number, data in enumerate((b"", b"photo", whole[: len(whole) // 2], whole[:-3], whole[40:])):
        (tmp_path / f"{number}.zip").write_bytes(data)
        with pytest.raises(GalleryError, match="no backup"):
            read_backup(tmp_path / f"{number}.zip")
    with zipfile.ZipFile(tmp_path / "squeezed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gallery.json", b" " * 10**7)
    with pytest.raises(GalleryError, match="no backup"):
        read_backup(tmp_path / "squeezed.zip")
    for missing in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(GalleryError, match="cannot be read"):
            read_backup(missing)


@pytest.mark.parametrize("pattern", ["gallery.json", "index.*", "people.*"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"\xff" * 9)])
def test_a_damaged_gallery_is_restored(
    tmp_path: Path, contents: GalleryData, files: Files, pattern: str, harm: Callable[[Path], None]
) -> None:
    storage.create(tmp_path / "g", contents)
    before = files(tmp_path / "g")
    write_backup(tmp_path / "b.zip", contents)
    harm(next((tmp_path / "g").glob(pattern)))
    with pytest.raises(GalleryError, match="onelook restore"):
        storage.read(tmp_path / "g")
    storage.restore(tmp_path / "g", read_backup(tmp_path / "b.zip"))
    assert files(tmp_path / "g") == before


def test_restoring_spares_what_is_no_gallery_and_what_the_pipeline_rebuilds(
    tmp_path: Path, contents: GalleryData, files: Files
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"precious")
    with pytest.raises(GalleryError, match="already holds something"):
        storage.restore(tmp_path / "photos", contents)
    assert files(tmp_path / "photos") == {"a.jpg": b"precious"}
    managed = GalleryData(contents.terms.model_copy(update={"managed": True}), contents.entries, contents.embeddings)
    storage.create(tmp_path / "g", managed)
    before = files(tmp_path / "g")
    with pytest.raises(GalleryError, match="pipeline"):
        storage.restore(tmp_path / "g", contents)
    assert files(tmp_path / "g") == before


def test_a_backup_of_the_pipelines_gallery_becomes_ones_own(tmp_path: Path, contents: GalleryData) -> None:
    managed = GalleryData(contents.terms.model_copy(update={"managed": True}), contents.entries, contents.embeddings)
    write_backup(tmp_path / "b.zip", managed)
    storage.restore(tmp_path / "mine", read_backup(tmp_path / "b.zip"))
    storage.change(tmp_path / "mine", lambda c: c.without("Anna"))
    assert storage.read(tmp_path / "mine").owners == ["Çağla"]


def test_restoring_leaves_nothing_of_what_was_there(tmp_path: Path, contents: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", contents)
    storage.restore(tmp_path / "g", contents.without("Anna"))
    assert b"Anna" not in b"".join(files(tmp_path / "g").values())
    shutil.rmtree(tmp_path / "g")
    storage.restore(tmp_path / "g", contents)
    assert storage.read(tmp_path / "g").entries == contents.entries
