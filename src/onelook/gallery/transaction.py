"""Change of a gallery's database by a transaction, after which removed rows are swept from the files."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData
from onelook.gallery.database import DATABASE_FILE, LOCK_TIMEOUT, open_reader, open_writer
from onelook.gallery.folder import find_remains, make_changed_error, note_swept, read_unswept, sweep
from onelook.gallery.free_space import read_log_pages
from onelook.gallery.gallery_content import damage_in_one_line
from onelook.gallery.gallery_difference import compare, write_difference
from onelook.gallery.gallery_state import read_change, read_state

Parts = Sequence[tuple[GalleryData, GalleryData]]
"""Parts of a gallery before and after a change, one pair after the other; the rows have numbers."""


@dataclass
class _Sweeping:
    """The sweep that is due after a transaction.

    Attributes:
        revision: of the gallery.
        pages: pages to sweep; None: all.
        is_due: whether the log was emptied, so that the pages can be swept.
    """

    revision: str
    pages: set[int] | None
    is_due: bool = False


def apply_change(folder: Path, edit: Callable[[sqlite3.Connection], Parts], *, managed: bool) -> tuple[Parts, str]:
    """Change a gallery atomically; the caller holds the lock of the folder.

    Args:
        folder: the gallery.
        edit: computes the change; an exception leaves the gallery as it is.
        managed: whether the pipeline rebuilds the gallery, which then has no log and no note of what is swept.

    Returns:
        What `edit` returned, and the revision after the change.

    Raises:
        GalleryError: the gallery cannot be changed; or it was changed, but may keep what was removed.
    """
    is_changed = False
    committing: str | None = None
    try:
        with open_writer(folder) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with damage_in_one_line(folder / DATABASE_FILE):
                revision = read_change(connection)[1]
            parts = edit(connection)
            erases = _write(connection, folder, parts)
            sweeping = _Sweeping(read_change(connection)[1], read_unswept(folder, revision))
            committing = sweeping.revision if sweeping.revision != revision else None
            connection.execute("COMMIT")
            is_changed = committing is not None
            _empty_log(connection, folder, sweeping, LOCK_TIMEOUT if erases else 0)
        if sweeping.is_due:
            _sweep(folder, sweeping, managed)
        elif sweeping.pages is not None:
            note_swept(folder, sweeping.revision, sweeping.pages)
        if erases and not sweeping.is_due:
            raise GalleryError("another process reads it")
    except (GalleryError, OSError) as error:
        # A commit that fails in its last sync is in the log, and the next process reads it.
        if not is_changed and not (committing is not None and _has_revision(folder, committing)):
            raise
        raise make_changed_error(folder, error) from error
    return parts, sweeping.revision


def _has_revision(folder: Path, revision: str) -> bool:
    try:
        with open_reader(folder) as connection:
            return read_change(connection)[1] == revision
    except GalleryError:
        return False


def _write(connection: sqlite3.Connection, folder: Path, parts: Parts) -> bool:
    """Write the differences of parts; return whether something was removed."""
    erases = False
    for before, after in parts:
        with damage_in_one_line(folder / DATABASE_FILE):
            state = read_state(connection)
        difference = compare(state, before, after)
        if difference is not None:
            write_difference(connection, difference)
            erases = erases or difference.erases
    return erases


def _empty_log(connection: sqlite3.Connection, folder: Path, sweeping: _Sweeping, patience: float) -> None:
    """Move the log into the database, unless a process that reads an earlier state lasts longer than the patience."""
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    logged = read_log_pages(folder / f"{DATABASE_FILE}-wal", page_size)
    sweeping.pages = None if sweeping.pages is None else sweeping.pages | logged
    connection.execute(f"PRAGMA busy_timeout={1000 * patience:.0f}")
    is_busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    sweeping.is_due = not is_busy


def _sweep(folder: Path, sweeping: _Sweeping, managed: bool) -> None:
    if sweeping.pages is None or sweeping.pages or find_remains(folder):
        sweep(folder, sweeping.pages)
        if not managed:
            note_swept(folder, sweeping.revision, set())
