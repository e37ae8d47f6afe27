"""Files of a gallery folder: which are the gallery's, the lock, new databases put in place, and remains swept.

    gallery.sqlite      the gallery, see `database`
    gallery.sqlite-wal  while it is in use, or after a kill: changes that are not in the database yet
    gallery.sqlite-shm  the index of that log
    swept.json          which state of the database is free of what was removed, see `sweep`

Galleries of earlier formats have gallery.json, index.<sha256>.faiss and people.<sha256>.json instead.
"""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from onelook.errors import GalleryError, OnelookError
from onelook.file_locks import hold_lock
from onelook.files import NO_FOLLOW, flush
from onelook.gallery.data import GalleryData
from onelook.gallery.database import (
    DATABASE_FILE,
    INDEXES,
    LOCK_TIMEOUT,
    NOTHING_CHANGED,
    PROCESS_LOCK,
    create_database,
    errors_in_one_line,
)
from onelook.gallery.earlier_format import is_earlier_file
from onelook.gallery.file_format import HEADER_FILE
from onelook.gallery.free_space import clear_free_space
from onelook.gallery.gallery_content import insert_rows, make_rows, make_state, number_rows
from onelook.gallery.gallery_state import write_state
from onelook.untrusted import read_json

SWEPT_FILE = "swept.json"
NEW_DATABASE = f".{DATABASE_FILE}."


def is_gallery(folder: Path) -> bool:
    """Return whether the folder exists and is not empty, so that it must be read, or refused, as a gallery."""
    return folder.is_dir() and any(folder.iterdir())


def has_database(folder: Path) -> bool:
    """Return whether a gallery folder has the present format; damaged ones have it, too."""
    return (folder / DATABASE_FILE).exists()


def is_earlier_format(folder: Path) -> bool:
    """Return whether a gallery folder has an earlier format."""
    return (folder / HEADER_FILE).exists() and not has_database(folder)


def is_gallery_file(path: Path) -> bool:
    """Return whether a file has the name of a gallery's file, of any format, or of a remain of one."""
    return path.name.startswith((DATABASE_FILE, NEW_DATABASE)) or path.name == SWEPT_FILE or is_earlier_file(path)


def find_remains(folder: Path) -> list[Path]:
    """Return the files that interrupted changes and upgrades left in a gallery of the present format."""
    return [path for path in folder.iterdir() if path.name.startswith(NEW_DATABASE) or is_earlier_file(path)]


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold the file lock of a gallery and yield the resolved folder.

    The lock file is beside the folder, because the folder is put in place by a rename and is a DVC output.

    Raises:
        GalleryError: another process holds the lock, the file system has none, or its file cannot be created.
    """
    resolved = folder.resolve()
    busy = f"{folder}: another process has been changing it for {LOCK_TIMEOUT:.0f} s; try again when it has ended"
    with ExitStack() as held:
        try:
            resolved.parent.mkdir(parents=True, exist_ok=True)
            lock = resolved.parent / f".{resolved.name}.lock"
            held.enter_context(hold_lock(lock, busy=busy, timeout=LOCK_TIMEOUT))
        except OnelookError as error:
            raise GalleryError(str(error)) from error
        except OSError as error:
            reason = error.strerror or error
            raise GalleryError(f"{folder}: cannot be locked ({reason}), so it cannot be changed") from error
        yield resolved


def put_in_place(folder: Path, data: GalleryData) -> GalleryData:
    """Write a gallery atomically, in place of what the folder holds; the caller holds the lock.

    A managed gallery is in no WAL mode, so that reading it creates no file; its bytes depend only on the data and on
    the version of SQLite.

    Returns:
        The data with the numbers of its rows.
    """
    for abandoned in folder.parent.iterdir():
        if abandoned.name.startswith(f".{folder.name}.new-"):
            shutil.rmtree(abandoned, ignore_errors=True)
    data = number_rows(replace(data, ids=None), 0)
    if not is_gallery(folder):
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))  # its owner's alone
        try:
            _write_database(temporary / DATABASE_FILE, data)
            _note_new(temporary, data)
            if folder.exists():
                folder.rmdir()
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        with _after_the_change(folder):
            flush(folder.parent)
        return data
    new = folder / f"{NEW_DATABASE}{os.getpid()}"
    new.unlink(missing_ok=True)
    try:
        _write_database(new, data)
        _close_log(folder / DATABASE_FILE)
        new.replace(folder / DATABASE_FILE)
    finally:
        new.unlink(missing_ok=True)
    with _after_the_change(folder):
        (folder / SWEPT_FILE).unlink(missing_ok=True)
        _note_new(folder, data)
        flush(folder)
        if not data.metadata.managed:
            folder.chmod(0o700)
        for remain in find_remains(folder):
            remain.unlink()
    return data


@contextmanager
def _after_the_change(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise make_changed_error(folder, error) from error


def make_changed_error(folder: Path, error: GalleryError | OSError) -> GalleryError:
    """Make the error of a gallery that was changed, but whose files could not all be written or swept after that."""
    reason = str((error.strerror if isinstance(error, OSError) else None) or error).removesuffix(NOTHING_CHANGED)
    return GalleryError(
        f"{folder}: changed, but its files may still hold what was removed ({reason}); the next change removes that"
    )


def _note_new(folder: Path, data: GalleryData) -> None:
    if not data.metadata.managed:
        note_swept(folder, make_state(data).revision, set())


def _write_database(path: Path, data: GalleryData) -> None:
    with create_database(path) as connection:
        insert_rows(connection, make_rows(data), [face.thumbnail for face in data.faces])
        for statement in INDEXES:
            connection.execute(statement)
        write_state(connection, make_state(data))
    with PROCESS_LOCK:
        clear_free_space(path, _read_page_size(path))
    if not data.metadata.managed:
        with _journal_mode(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    flush(path)
    flush(path.parent)


@contextmanager
def _journal_mode(path: Path) -> Iterator[sqlite3.Connection]:
    connect = partial(sqlite3.connect, path, timeout=LOCK_TIMEOUT)
    with PROCESS_LOCK, errors_in_one_line(path, "changed"), closing(connect()) as connection:
        yield connection


def _close_log(path: Path) -> None:
    """Put a database out of WAL mode, so that it can be replaced; of a damaged one, the log is removed."""
    if path.is_dir():
        shutil.rmtree(path)
    if not path.exists():
        return
    with _journal_mode(path) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            return
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def sweep(folder: Path, pages: set[int] | None) -> None:
    """Overwrite what removed rows left in the database, and remove the files that a kill left.

    The caller holds the lock; the log of the database is empty, and this process has no connection to it.

    Args:
        folder: the gallery.
        pages: pages that were written since the database was swept; None: any.
    """
    path = folder / DATABASE_FILE
    with PROCESS_LOCK:
        clear_free_space(path, _read_page_size(path), pages)
    for remain in find_remains(folder):
        remain.unlink()


def note_swept(folder: Path, revision: str, pages: set[int]) -> None:
    """Note that a state of the database is swept, but for some pages.

    Without the note, or where it is of another state, the next change sweeps the whole database.
    """
    path = folder / SWEPT_FILE
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.unlink()
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | NO_FOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump({"revision": revision, "pages": sorted(pages)}, stream)


def read_unswept(folder: Path, revision: str) -> set[int] | None:
    """Return the pages that are not swept in a state of the database; None: any."""
    try:
        path = folder / SWEPT_FILE
        if path.is_symlink() or not path.is_file():
            return None
        note = read_json(path)
        return set(map(int, note["pages"])) if note["revision"] == revision else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read_page_size(path: Path) -> int:
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(18)[16:], "big")
    return 65536 if size == 1 else size
