"""Backups: byte-identical restore, and refusal of damaged files."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.face_quality import Quality
from onelook.gallery import storage
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.database import DATABASE_FILE

Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    rows = np.random.default_rng(0).normal(size=(3, metadata.embedding_size))
    quality = Quality(score=0.9, size=100.5, sharpness=0.4)
    entries = tuple(
        EnrolledFace(person=name, photo=f"{name}.jpg", sha256=f"{i:064x}", quality=quality)
        for i, name in enumerate(["Anna", "Çağla", "Anna"])
    )
    return GalleryData(metadata, entries, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def test_restore_is_byte_identical(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", data)
    before = files(tmp_path / "g")
    write_backup(tmp_path / "b.zip", storage.read(tmp_path / "g"))
    storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    storage.restore(tmp_path / "g", read_backup(tmp_path / "b.zip"))
    assert files(tmp_path / "g") == before
    storage.restore(tmp_path / "deep" / "other", read_backup(tmp_path / "b.zip"))
    assert files(tmp_path / "deep" / "other") == before
    write_backup(tmp_path / "again.zip", storage.read(tmp_path / "g"))
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_backup_is_a_plain_zip_of_the_files_of_earlier_formats(tmp_path: Path, data: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", data)
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path / "out")
    assert storage.read(tmp_path / "out").faces == data.faces


def test_an_existing_backup_is_not_overwritten(tmp_path: Path, data: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", data)
    with pytest.raises(GalleryError, match="never written over"):
        write_backup(tmp_path / "b.zip", empty_gallery(data.metadata))
    assert read_backup(tmp_path / "b.zip").faces == data.faces


def test_changed_bytes_are_detected_or_harmless(tmp_path: Path, data: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", data)
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
            assert (again.metadata, again.faces) == (data.metadata, data.faces)
            np.testing.assert_array_equal(again.embeddings, data.embeddings)
    assert refused > 0.8 * len(whole) / 5


def test_a_truncated_or_foreign_file_is_refused(tmp_path: Path, data: GalleryData) -> None:
    write_backup(tmp_path / "b.zip", data)
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


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"\xff" * 9)])
def test_a_damaged_gallery_is_restored(
    tmp_path: Path, data: GalleryData, files: Files, harm: Callable[[Path], None]
) -> None:
    storage.create(tmp_path / "g", data)
    before = files(tmp_path / "g")
    write_backup(tmp_path / "b.zip", data)
    harm(tmp_path / "g" / DATABASE_FILE)
    with pytest.raises(GalleryError, match="onelook restore"):
        storage.read(tmp_path / "g")
    storage.restore(tmp_path / "g", read_backup(tmp_path / "b.zip"))
    assert files(tmp_path / "g") == before


def test_restore_refuses_other_folders_and_managed_galleries(tmp_path: Path, data: GalleryData, files: Files) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"precious")
    with pytest.raises(GalleryError, match="already holds something"):
        storage.restore(tmp_path / "photos", data)
    assert files(tmp_path / "photos") == {"a.jpg": b"precious"}
    managed = GalleryData(data.metadata.model_copy(update={"managed": True}), data.faces, data.embeddings)
    storage.create(tmp_path / "g", managed)
    before = files(tmp_path / "g")
    with pytest.raises(GalleryError, match="pipeline"):
        storage.restore(tmp_path / "g", data)
    assert files(tmp_path / "g") == before


def test_a_restored_managed_gallery_is_unmanaged(tmp_path: Path, data: GalleryData) -> None:
    managed = GalleryData(data.metadata.model_copy(update={"managed": True}), data.faces, data.embeddings)
    write_backup(tmp_path / "b.zip", managed)
    storage.restore(tmp_path / "mine", read_backup(tmp_path / "b.zip"))
    storage.update(tmp_path / "mine", lambda c: c.remove("Anna"))
    assert storage.read(tmp_path / "mine").identities == ["Çağla"]


def test_restore_removes_the_previous_content(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", data)
    storage.restore(tmp_path / "g", data.remove("Anna"))
    assert b"Anna" not in b"".join(files(tmp_path / "g").values())
    shutil.rmtree(tmp_path / "g")
    storage.restore(tmp_path / "g", data)
    assert storage.read(tmp_path / "g").faces == data.faces
