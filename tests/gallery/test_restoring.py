"""Tests of the copy of a gallery that a restore keeps."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.gallery import folder as gallery_folder
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.database import DATABASE_FILE
from onelook.gallery.restoring import copy_beside


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path, metadata: GalleryMetadata) -> Path:
    folder = tmp_path / "gallery"
    faces = tuple(EnrolledFace(person="Anna", photo=f"{i}.jpg", sha256=f"{i:064x}") for i in range(2))
    storage.create(folder, GalleryData(metadata, faces, np.eye(2, metadata.embedding_size, dtype=np.float32)))
    return folder


@pytest.mark.parametrize("journal", [b"", bytes(512)])
def test_a_copy_has_no_journal_that_the_database_does_not_need(folder: Path, journal: bytes) -> None:
    sound = files_of(folder)
    for suffix, content in (("-journal", journal), ("-wal", b""), ("-shm", bytes(32768))):
        (folder / f"{DATABASE_FILE}{suffix}").write_bytes(content)
    copy = copy_beside(folder)
    assert files_of(copy) == sound
    assert storage.read(copy).faces == storage.read(folder).faces


def test_a_copy_of_a_gallery_in_use_has_the_changes_that_are_in_the_log_alone(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE_FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("UPDATE faces SET person='Zoe'")
        database = (folder / DATABASE_FILE).read_bytes()
        copy = copy_beside(folder)
    assert b"Zoe" not in database
    with closing(sqlite3.connect(copy / DATABASE_FILE)) as connection:
        assert connection.execute("SELECT DISTINCT person FROM faces").fetchall() == [("Zoe",)]


def test_a_copy_of_an_interrupted_gallery_recovers_the_state_before(folder: Path) -> None:
    before = storage.read(folder).faces
    path = folder / DATABASE_FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("UPDATE faces SET person='Zoe'")
        connection.execute(
            "CREATE TABLE filler AS SELECT randomblob(3000000) AS content"
        )  # spills, so syncs the journal
        journal = path.with_name(f"{DATABASE_FILE}-journal").read_bytes()
        changed = path.read_bytes()
    path.write_bytes(changed)
    path.with_name(f"{DATABASE_FILE}-journal").write_bytes(journal)
    copy = copy_beside(folder)
    assert b"Zoe" in (copy / DATABASE_FILE).read_bytes()
    assert storage.read(copy).faces == before


def break_a_restore(folder: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException) -> set[str]:
    """Restore an empty gallery where a function fails, and return the names beside the gallery."""
    empty = storage.read(folder).remove("Anna")

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(gallery_folder, function, fail)
    with pytest.raises((GalleryError, SystemExit)):
        storage.restore(folder, empty, keep=True)
    return {path.name for path in folder.parent.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SystemExit(143)])
def test_a_restore_that_changes_nothing_leaves_no_copy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    for _ in range(2):
        assert break_a_restore(folder, monkeypatch, "_write_database", error) == {"gallery"}
    assert set(storage.read(folder).identities) == {"Anna"}


def test_a_restore_that_fails_after_the_change_keeps_the_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = storage.read(folder).faces
    (copy,) = break_a_restore(folder, monkeypatch, "_note_new", OSError(5, "Input/output error")) - {"gallery"}
    assert not storage.read(folder).faces
    assert storage.read(folder.parent / copy).faces == before
