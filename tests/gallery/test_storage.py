"""The gallery folder: read, refusal of damage, atomic changes."""

import dataclasses
import multiprocessing
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.database import DATABASE_FILE, errors_in_one_line, is_file_or_absent, open_writer
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.free_space import clear_free_space
from onelook.settings import DetectSettings

Files = Callable[[Path], dict[str, bytes]]


def has_clear_pages(path: Path) -> bool:
    """Return whether the unused space of all pages is zero, and SQLite finds the database sound."""
    before = path.read_bytes()
    clear_free_space(path, 4096)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return path.read_bytes() == before


def make_rows(count: int, size: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_entry(person: str, number: int) -> EnrolledFace:
    return EnrolledFace(person=person, photo=f"{person}/{number}.jpg", sha256=f"{number:064x}")


@pytest.fixture
def data(metadata: GalleryMetadata) -> GalleryData:
    entries = tuple(make_entry(person, i) for i, person in enumerate(["Anna", "Çağla", "Anna", "王小明"]))
    return GalleryData(metadata, entries, make_rows(4, metadata.embedding_size, 1))


def test_read_inverts_create(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    again = storage.read(tmp_path / "g")
    assert again.metadata == data.metadata
    assert again.faces == data.faces
    np.testing.assert_array_equal(again.embeddings, data.embeddings)


def test_an_empty_gallery_is_readable(tmp_path: Path, metadata: GalleryMetadata) -> None:
    storage.create(tmp_path / "g", empty_gallery(metadata))
    assert storage.read(tmp_path / "g").faces_by_person() == {}


def test_equal_data_gives_equal_bytes(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "a", data)
    storage.create(tmp_path / "b", data)
    before = files(tmp_path / "b")
    storage.create(tmp_path / "b", data, replace=True)
    assert files(tmp_path / "a") == before == files(tmp_path / "b")


def test_replace_removes_the_old_content(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "a", data.remove("Anna"))
    storage.create(tmp_path / "b", data)
    storage.create(tmp_path / "b", data.remove("Anna"), replace=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(1, 3)),
            st.tuples(st.just("forget"), st.sampled_from("abc"), st.just(0)),
        ),
        max_size=8,
    )
)
def test_random_changes_equal_those_of_a_plain_list(steps: list[tuple[str, str, int]]) -> None:
    detect = {"score": 0.5, "nms": 0.4, "longest_side": 640}
    metadata = GalleryMetadata(
        fingerprint="f",
        embedding_size=4,
        threshold=0.5,
        target_fpir=0.1,
        detect=DetectSettings(**detect),
        managed=False,
    )
    twin: list[tuple[EnrolledFace, bytes]] = []
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "g"
        storage.create(folder, empty_gallery(metadata))
        for number, (kind, person, count) in enumerate(steps):
            if kind == "add":
                entries = tuple(make_entry(person, 10 * number + i) for i in range(count))
                rows = make_rows(count, 4, number)
                storage.update(folder, lambda c, e=entries, r=rows: c.add(e, r))
                twin += [(entry, row.tobytes()) for entry, row in zip(entries, rows, strict=True)]
            elif any(entry.person == person for entry, _ in twin):
                storage.update(folder, lambda c, p=person: c.remove(p))
                twin = [(entry, row) for entry, row in twin if entry.person != person]
            else:
                with pytest.raises(GalleryError, match="nobody of that name"):
                    storage.update(folder, lambda c, p=person: c.remove(p))
            now = storage.read(folder)
            assert [(e, r.tobytes()) for e, r in zip(now.faces, now.embeddings, strict=True)] == twin
            assert {path.name for path in folder.iterdir()} == {"gallery.sqlite", "swept.json"}
            assert has_clear_pages(folder / "gallery.sqlite")


def test_removed_people_are_in_no_file(tmp_path: Path, data: GalleryData, files: Files) -> None:
    storage.create(tmp_path / "g", data)
    abandoned = tmp_path / "g" / ".gallery.sqlite.1234"  # what a kill while writing leaves
    abandoned.write_text("Anna", encoding="utf-8")
    storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    everything = b"".join(files(tmp_path / "g").values())
    assert b"Anna" not in everything
    for row in data.embeddings[[0, 2]]:
        assert row.tobytes() not in everything
    assert data.embeddings[1].tobytes() in everything


def test_foreign_files_in_the_folder_are_kept(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    (tmp_path / "g" / "index.html").write_text("mine")
    storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    storage.restore(tmp_path / "g", data)
    assert (tmp_path / "g" / "index.html").read_text() == "mine"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def clear(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(b"\xff\x00" * 50)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, clear, noise, make_folder, Path.unlink])
def test_a_damaged_database_is_refused_in_one_line(
    tmp_path: Path, data: GalleryData, damage: Callable[[Path], None]
) -> None:
    storage.create(tmp_path / "g", data)
    damage(tmp_path / "g" / DATABASE_FILE)
    for use in (storage.read, FaissBackend, lambda folder: storage.update(folder, lambda c: c.remove("Anna"))):
        with pytest.raises(GalleryError) as caught:
            use(tmp_path / "g")
        assert DATABASE_FILE in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["embedding", "sha256", "person", "photo"])
def test_bytes_that_are_no_text_reach_no_terminal(tmp_path: Path, data: GalleryData, column: str) -> None:
    storage.create(tmp_path / "g", data)
    with closing(sqlite3.connect(tmp_path / "g" / DATABASE_FILE)) as connection, connection:
        connection.execute(f"UPDATE faces SET {column} = CAST(x'1b5b324a0a0dff' AS TEXT) WHERE id = 1")
    for use in (storage.read, FaissBackend, lambda folder: storage.update(folder, lambda c: c.remove("Anna"))):
        with pytest.raises(GalleryError) as caught:
            use(tmp_path / "g")
        assert "damaged" in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("character", ["\n", "\x1b", "\x00", "\x7f", "\x9b", "\u2028"])
def test_a_forged_name_with_control_characters_is_refused(tmp_path: Path, data: GalleryData, character: str) -> None:
    name = f"Anna{character}[2J"
    with pytest.raises(ValidationError, match="pattern"):
        make_entry(name, 0)
    faces = tuple(face.model_copy(update={"person": name}) for face in data.faces)
    storage.create(tmp_path / "g", dataclasses.replace(data, faces=faces))
    for read in (storage.read, FaissBackend):
        with pytest.raises(GalleryError, match="damaged") as caught:
            read(tmp_path / "g")
        assert str(caught.value).isprintable()


def test_no_flipped_bit_of_an_embedding_or_name_is_read(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    path = tmp_path / "g" / DATABASE_FILE
    whole = path.read_bytes()
    places = [whole.index(row.tobytes()) + 4 * i + 1 for i, row in enumerate(data.embeddings)]
    places += [whole.index(b"Anna/0.jpg"), whole.index("Çağla".encode()) + 1, whole.index(b'"fingerprint"') + 20]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        for read in (storage.read, FaissBackend):
            with pytest.raises(GalleryError, match="damaged"):
                read(tmp_path / "g")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM faces WHERE id = 2", "not those that were written"),
        ("UPDATE faces SET embedding = zeroblob(64) WHERE id = 2", "length 1"),
        ("UPDATE faces SET embedding = zeroblob(60) WHERE id = 2", "dimensions"),
        ("UPDATE faces SET embedding = 7 WHERE id = 2", "another type"),
        ("UPDATE faces SET score = 'high', size = 1, sharpness = 1", "score"),
        ("UPDATE state SET people = 9", "checksum"),
        ("DELETE FROM state", "no state"),
        ("UPDATE state SET metadata = '{}'", "fingerprint"),
        ("PRAGMA user_version=8", "its format is 8"),
        ("PRAGMA application_id=1", "not a gallery's database"),
        ("CREATE TRIGGER t AFTER INSERT ON faces BEGIN DELETE FROM faces; END", "tables"),
    ],
)
def test_a_database_of_somebody_else_is_refused(tmp_path: Path, data: GalleryData, statement: str, said: str) -> None:
    storage.create(tmp_path / "g", data)
    with closing(sqlite3.connect(tmp_path / "g" / DATABASE_FILE, isolation_level=None)) as connection:
        connection.execute(statement)
    for read in (storage.read, FaissBackend):
        with pytest.raises(GalleryError, match=said):
            read(tmp_path / "g")


def test_a_database_that_cannot_be_written_is_read_as_it_is(tmp_path: Path, data: GalleryData) -> None:
    folder = tmp_path / "g"
    storage.create(folder, data)
    before = set(folder.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert storage.read(folder).faces == data.faces
        assert FaissBackend(folder).count_photos() == 4
        assert set(folder.iterdir()) == before
        (folder / DATABASE_FILE).write_bytes(b"")
        with pytest.raises(GalleryError, match="damaged"):
            storage.read(folder)


def test_only_the_owner_can_read_a_gallery_whatever_the_umask(tmp_path: Path, data: GalleryData) -> None:
    earlier = os.umask(0)
    try:
        storage.create(tmp_path / "g", data)
        storage.update(tmp_path / "g", lambda c: c.remove("Anna"), people=["Anna"])
    finally:
        os.umask(earlier)
    assert (tmp_path / "g").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "g").iterdir()} == {0o600}


def test_a_failure_after_the_change_is_told_as_such(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        patch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(GalleryError, match=r"changed, but its files may still hold what was removed \("):
            storage.update(tmp_path / "g", lambda c: c.remove("Anna"), people=["Anna"])
    assert storage.read(tmp_path / "g").identities == ["Çağla", "王小明"]
    assert storage.has_remains(tmp_path / "g")
    storage.update(tmp_path / "g", lambda c: c, people=[])
    assert not storage.has_remains(tmp_path / "g")
    assert has_clear_pages(tmp_path / "g" / DATABASE_FILE)


def test_a_part_is_changed_like_the_whole(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "whole", data.reject("Anna", data.embeddings[1]))
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    edits: list[tuple[Callable[[GalleryData], GalleryData], list[str]]] = [
        (lambda c: c.add((make_entry("Eve", 9),), make_rows(1, 16, 9)), ["Eve"]),
        (lambda c: c.rename("Anna", "Ann"), ["Anna", "Ann"]),
        (lambda c: c.merge("Çağla", "Eve"), ["Çağla", "Eve"]),
        (lambda c: c.remove_photos("Ann", [f"{2:064x}"]), ["Ann"]),
        (lambda c: c.remove("Eve"), ["Eve"]),
    ]
    for edit, people in edits:
        one = storage.update(tmp_path / "whole", edit)
        other = storage.update(tmp_path / "part", edit, people=people)
        assert one.revision == other.revision
        assert storage.read(tmp_path / "part").row_ids == storage.read(tmp_path / "whole").row_ids


def test_a_missing_gallery_is_reported(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no such gallery"):
        storage.read(tmp_path / "none")
    with pytest.raises(GalleryError, match="no such gallery"):
        storage.update(tmp_path / "deep" / "none", lambda c: c)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_not_overwritten(tmp_path: Path, data: GalleryData) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"precious")
    (tmp_path / "notes").write_text("precious")
    for name in ("photos", "notes"):
        for replace in (False, True):
            with pytest.raises(GalleryError):
                storage.create(tmp_path / name, data, replace=replace)
    assert (tmp_path / "photos" / "holiday.jpg").read_bytes() == b"precious"
    assert (tmp_path / "notes").read_text() == "precious"


def test_a_managed_gallery_cannot_be_changed(tmp_path: Path, data: GalleryData, files: Files) -> None:
    managed = GalleryData(data.metadata.model_copy(update={"managed": True}), data.faces, data.embeddings)
    storage.create(tmp_path / "g", managed)
    before = files(tmp_path / "g")
    with pytest.raises(GalleryError, match="pipeline"):
        storage.update(tmp_path / "g", lambda c: c.remove("Anna"))
    assert files(tmp_path / "g") == before


def test_a_symlinked_gallery_is_changed_at_its_target(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "real", data)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    storage.update(tmp_path / "link", lambda c: c.remove("Anna"))
    assert (tmp_path / "link").is_symlink()
    assert "Anna" not in storage.read(tmp_path / "real").faces_by_person()


def test_a_copied_folder_is_readable(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    shutil.copytree(tmp_path / "g", tmp_path / "elsewhere")
    assert storage.read(tmp_path / "elsewhere").faces == data.faces


def keep_changing(folder: Path, count: int) -> None:
    for number in range(count):
        entry = make_entry("guest", 1000 + number)
        storage.update(folder, lambda c, e=entry: c.add((e,), c.embeddings[:1]))
        storage.update(folder, lambda c: c.remove("guest"))


def test_readers_find_consistent_states_during_changes(tmp_path: Path, data: GalleryData) -> None:
    folder = tmp_path / "g"
    storage.create(folder, data)
    writer = multiprocessing.get_context("spawn").Process(target=keep_changing, args=(folder, 25))
    writer.start()
    reads = {4: 0, 5: 0}
    while writer.is_alive():
        now = storage.read(folder)
        reads[len(now.faces)] += 1
        np.testing.assert_array_equal(now.embeddings[:4], data.embeddings)
    writer.join()
    assert writer.exitcode == 0
    assert min(reads.values()) > 0
    assert storage.read(folder).faces == data.faces


def test_a_log_that_another_process_removes_meanwhile_is_no_damage(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    log = tmp_path / "g" / f"{DATABASE_FILE}-wal"
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            log.touch()
            log.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        assert all(is_file_or_absent(log) for _ in range(20_000))
    finally:
        ended.set()
        thread.join()


def test_a_failure_after_the_change_says_that_it_was_made(
    tmp_path: Path, data: GalleryData, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.create(tmp_path / "g", data)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    def refuse(*_: object) -> None:
        raise GalleryError("gallery.sqlite: cannot be changed (disk I/O error); nothing was changed")

    for failing, error in (("onelook.gallery.transaction.sweep", refuse), ("onelook.gallery.transaction.sweep", fail)):
        with monkeypatch.context() as patch, pytest.raises(GalleryError, match="changed, but") as caught:
            patch.setattr(failing, error)
            storage.update(tmp_path / "g", lambda each: each.remove(each.identities[0]))
        assert "nothing was changed" not in str(caught.value)
        storage.create(tmp_path / "g", data, replace=True)
    with monkeypatch.context() as patch, pytest.raises(GalleryError, match="changed, but"):
        patch.setattr("onelook.gallery.folder.note_swept", fail)
        storage.restore(tmp_path / "g", data.remove(data.identities[0]))
    assert len(set(storage.read(tmp_path / "g").identities)) == len(set(data.identities)) - 1


def test_the_kept_gallery_has_no_remains_of_interrupted_changes(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "g", data)
    for name in (".gallery.sqlite.123", ".gallery.sqlite.123-journal"):
        (tmp_path / "g" / name).write_bytes(b"half a database")
    kept = storage.restore(tmp_path / "g", data, keep=True).kept
    assert kept is not None and not storage.has_remains(kept)
    assert storage.read(kept).identities == data.identities


def test_a_commit_that_fails_after_it_is_in_the_log_is_reported_as_a_change(
    tmp_path: Path, data: GalleryData, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.create(tmp_path / "g", data)

    class FailingCommit:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            cursor = self._connection.execute(statement, *values)
            if statement == "COMMIT":
                raise GalleryError("gallery.sqlite: cannot be changed (disk I/O error); nothing was changed")
            return cursor

    @contextmanager
    def open_failing(folder: Path) -> Iterator[Any]:
        with open_writer(folder) as connection:
            yield FailingCommit(connection)

    monkeypatch.setattr("onelook.gallery.transaction.open_writer", open_failing)
    with pytest.raises(GalleryError, match="changed, but") as caught:
        storage.update(tmp_path / "g", lambda each: each.remove(each.identities[0]))
    assert "nothing was changed" not in str(caught.value)
    assert len(set(storage.read(tmp_path / "g").identities)) == len(set(data.identities)) - 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SQLITE_IOERR_SHMMAP", "too little memory"),
        ("SQLITE_IOERR_SHMLOCK", "its file system cannot lock files"),
        ("SQLITE_IOERR_SHMSIZE", "the disk is full"),
    ],
)
def test_lack_of_memory_or_space_is_not_said_to_be_lack_of_locks(tmp_path: Path, name: str, message: str) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    with (
        pytest.raises(GalleryError, match=message) as caught,
        errors_in_one_line(tmp_path / "gallery.sqlite", "changed"),
    ):
        raise error
    assert str(caught.value).endswith("nothing was changed") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gallery.sqlite-wal", "gallery.sqlite-journal", "gallery.sqlite-shm", "swept.json"])
def test_a_link_in_a_gallery_leads_no_change_outside(tmp_path: Path, data: GalleryData, name: str) -> None:
    folder, victim, person = tmp_path / "gallery", tmp_path / "victim", data.identities[0]
    victim.write_text("precious")
    storage.create(folder, data)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(victim)
    if name == "swept.json":
        storage.update(folder, lambda content: content.remove(person))
        assert not (folder / name).is_symlink()
    else:
        for act in (storage.read, lambda folder: storage.update(folder, lambda content: content.remove(person))):
            with pytest.raises(GalleryError, match="a link or no file"):
                act(folder)
    assert victim.read_text() == "precious"


def test_a_linked_database_is_read_and_not_changed(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "victim", data)
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / DATABASE_FILE).symlink_to(tmp_path / "victim" / DATABASE_FILE)
    assert storage.read(tmp_path / "gallery").identities == data.identities
    with pytest.raises(GalleryError, match="a link, so a change would be made elsewhere"):
        storage.update(tmp_path / "gallery", lambda content: content.remove(data.identities[0]))
    assert storage.read(tmp_path / "victim").identities == data.identities


def test_a_pipe_in_place_of_the_note_does_not_stop_a_change(tmp_path: Path, data: GalleryData) -> None:
    storage.create(tmp_path / "gallery", data)
    (tmp_path / "gallery/swept.json").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "gallery/swept.json")
    storage.update(tmp_path / "gallery", lambda content: content.remove(data.identities[0]))
    assert (tmp_path / "gallery/swept.json").is_file()
