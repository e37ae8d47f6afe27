"""The SQLite database of a gallery folder: schema, connections, and errors in one line.

Every operation opens a connection and closes it. So a gallery may be used from threads and after a fork, its folder may
be moved or deleted between two operations, and no file beside the database stays when nobody uses it.
"""

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onelook.errors import GalleryError
from onelook.untrusted import one_line

DATABASE_FILE = "gallery.sqlite"
FORMAT = 7
"""The format of the database; earlier formats are the files of `file_format`."""
REPAIR_HINT = (
    "restore it from a backup (`onelook restore`), or move it away and enroll again (`dvc repro index` the pipeline's)"
)
NOTHING_CHANGED = "; nothing was changed"
"""End of the message of an error before the change is in the database."""
LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process that changes the gallery; a change takes milliseconds."""

_APPLICATION_ID = 0x6F6E6C6B  # "onlk"
# One row per enrolled face, in the order of enrollment; the thumbnail is apart, because a search needs none.
SCHEMA = (
    "CREATE TABLE state (id INTEGER PRIMARY KEY, metadata TEXT NOT NULL, faces INTEGER NOT NULL, people INTEGER NOT "
    "NULL, digest TEXT NOT NULL, revision TEXT NOT NULL, change INTEGER NOT NULL, journal_start INTEGER NOT NULL)",
    "CREATE TABLE faces (id INTEGER PRIMARY KEY, person TEXT NOT NULL, photo TEXT NOT NULL, sha256 BLOB NOT NULL, "
    "score REAL, size REAL, sharpness REAL, profile REAL, thumbnail_sha256 BLOB, embedding BLOB NOT NULL)",
    "CREATE TABLE thumbnails (face INTEGER PRIMARY KEY, jpeg TEXT NOT NULL)",
    "CREATE TABLE rejections (id INTEGER PRIMARY KEY, record TEXT NOT NULL)",
    "CREATE TABLE forgotten (id INTEGER PRIMARY KEY, record TEXT NOT NULL)",
    "CREATE TABLE journal (change INTEGER NOT NULL, face INTEGER NOT NULL, PRIMARY KEY (change, face)) WITHOUT ROWID",
)
INDEXES = (
    "CREATE INDEX faces_by_person ON faces (person)",
    "CREATE INDEX faces_by_photo ON faces (sha256)",
)
_UNWRITABLE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_FULL", "SQLITE_IOERR")
# The second: the file of shared memory beside the database could not grow.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
# A lock of a file ends when its process closes any descriptor of the file. So one thread at a time uses a database.
PROCESS_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=PROCESS_LOCK.acquire, after_in_parent=PROCESS_LOCK.release, after_in_child=PROCESS_LOCK.release
    )


@contextmanager
def open_reader(folder: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that reads one state of the gallery, also in a folder that cannot be written.

    Raises:
        GalleryError: the database is missing, damaged, of another format, or cannot be read.
    """
    path = folder / DATABASE_FILE
    with PROCESS_LOCK, errors_in_one_line(path, "read"):
        connection = _connect_reader(path)
        try:
            _configure(connection)
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            _check_schema(connection, path)
            yield connection
        finally:
            connection.close()


@contextmanager
def open_writer(folder: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that changes the gallery; the caller holds the lock of the folder.

    Raises:
        GalleryError: the database is damaged, of another format, or cannot be changed.
    """
    path = folder / DATABASE_FILE
    if path.is_symlink():
        raise GalleryError(f"{path}: a link, so a change would be made elsewhere; copy the file itself into {folder}")
    with PROCESS_LOCK, errors_in_one_line(path, "changed"):
        connection = _connect(path, "rw")
        try:
            _configure(connection)
            _check_schema(connection, path)
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            yield connection
        finally:
            connection.close()


@contextmanager
def create_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Create a database that its owner alone can read, and yield a connection in one transaction.

    The tables have no indexes until `INDEXES` are created. Equal statements give equal bytes.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    path.chmod(0o600)
    with PROCESS_LOCK, errors_in_one_line(path, "written"):
        connection = _connect(path, "rw")
        try:
            _configure(connection)
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute("PRAGMA journal_mode=MEMORY")  # a kill leaves a file that nobody reads
            connection.execute("BEGIN")
            for statement in SCHEMA:
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()


def _connect_reader(path: Path) -> sqlite3.Connection:
    """Open a database to read: as a writer would, so that it may recover the log of a killed process, or as it is."""
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        connection = _connect(path, "rw")
        try:
            connection.execute("PRAGMA schema_version")
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            if not error.sqlite_errorname.startswith(_UNWRITABLE):
                raise
    # A database in WAL mode needs files beside it, which cannot be created here; without a log it needs none.
    return _connect(path, "ro" if _log_size(path) else "ro&immutable=1")


def _log_size(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:  # without one, or the last other process has just removed it
        return 0


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    if not path.is_file():
        reason = "not a file" if path.exists() else "missing"
        raise GalleryError(f"{path}: {reason}, so {path.parent} is no gallery or a damaged one; {REPAIR_HINT}")
    for companion in (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")):
        if not is_file_or_absent(companion):  # SQLite would write through it
            raise GalleryError(f"{companion}: a link or no file; remove it, or restore the gallery from a backup")
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=LOCK_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )


def is_file_or_absent(path: Path) -> bool:
    """Return whether a path is a regular file, no link, or is not there.

    It is asked once: another process may remove the file of its last connection at any moment.
    """
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA temp_store=MEMORY")  # nothing of a gallery goes to the folder of temporary files


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Check that a database is a gallery of this format, without triggers or views of somebody else."""
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    if path.stat().st_size % page_size and not _log_size(path):
        raise GalleryError(f"{path}: damaged, its end is missing; {REPAIR_HINT}")
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise GalleryError(f"{path}: damaged, not a gallery's database; {REPAIR_HINT}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise GalleryError(f"{path}: its format is {version}, this onelook reads {FORMAT}; use the one that made it")
    statements = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if statements != {*SCHEMA, *INDEXES}:
        raise GalleryError(f"{path}: damaged, its tables are not those of a gallery; {REPAIR_HINT}")


@contextmanager
def errors_in_one_line(path: Path, action: str) -> Iterator[None]:
    """Raise the errors of SQLite as a GalleryError of one line.

    Args:
        path: the database.
        action: what cannot be done, as in "read" or "changed".
    """
    try:
        yield
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise GalleryError(_describe(path, action, error)) from error


def _describe(path: Path, action: str, error: Exception) -> str:
    name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
    outcome = "" if action == "read" else NOTHING_CHANGED
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path.parent}: another process has been using it for {LOCK_TIMEOUT:.0f} s; try again when it has ended"
    if name in _FULL:
        return f"{path}: cannot be {action} (the disk is full){outcome}"
    if name == "SQLITE_IOERR_SHMMAP":  # where mmap fails, for lack of memory or on a network drive
        remedy = "close other programs, or keep the gallery on a local disk"
        return (
            f"{path.parent}: cannot be {action} (too little memory, or its file system shares none); {remedy}{outcome}"
        )
    if "LOCK" in name or "SHM" in name or name.startswith("SQLITE_PROTOCOL"):
        return f"{path.parent}: its file system cannot lock files; keep the gallery on a local disk{outcome}"
    if name.startswith(_UNWRITABLE) and name != "SQLITE_IOERR_SHORT_READ":
        return f"{path}: cannot be {action} ({one_line(error)}){outcome}"
    return f"{path}: damaged ({one_line(error)}); {REPAIR_HINT}"
