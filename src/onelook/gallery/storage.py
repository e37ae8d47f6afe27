"""The gallery folder on disk: verified when read, changed atomically and row by row, one process at a time.

A change is a transaction of the database (`database`, `transaction`). Readers find the gallery before or after it, also
after a kill at any moment, and do not wait for it. A gallery of an earlier format is read as it is; the first change
upgrades it.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.database import DATABASE_FILE
from onelook.gallery.earlier_format import read_earlier
from onelook.gallery.folder import is_earlier_format, is_gallery, is_gallery_file, locked, put_in_place
from onelook.gallery.gallery_content import (
    damage_in_one_line,
    last_row,
    make_state,
    number_rows,
    read_part,
    read_whole,
)
from onelook.gallery.gallery_difference import Change
from onelook.gallery.gallery_state import read_change, read_state
from onelook.gallery.reading import MISSING, has_remains, read, read_database, read_forgotten, read_version
from onelook.gallery.restoring import (
    Restoration,
    copy_beside,
    find_forgotten,
    leave_out,
    remove_unless_changed,
    unite_records,
)
from onelook.gallery.transaction import Parts, apply_change

__all__ = ["Change", "has_remains", "is_gallery", "is_gallery_file", "read", "read_forgotten", "read_version"]

logger = logging.getLogger(__name__)

_OCCUPIED = "{}: already holds something; name a folder that does not exist yet"


def create(folder: Path, data: GalleryData, *, replace: bool = False) -> None:
    """Write a new gallery folder atomically; with `replace`, also over an existing gallery.

    Raises:
        GalleryError: the folder is occupied, or cannot be written.
    """
    with _writing(folder) as resolved:
        if resolved.exists() and not resolved.is_dir():
            raise GalleryError(f"{folder}: is a file, a gallery is a folder; name another")
        if is_gallery(resolved) and not (replace and _has_gallery_files(resolved)):
            raise GalleryError(_OCCUPIED.format(folder))
        put_in_place(resolved, data)


def check_restorable(folder: Path) -> None:
    """Check that a folder can be replaced by a backup.

    Raises:
        GalleryError: it holds something else than a gallery, or a gallery that the pipeline rebuilds.
    """
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, a gallery is a folder; name another")
    try:
        managed = is_gallery(folder) and _is_managed(folder)
    except GalleryError:  # damaged: the case that backups are for
        managed = False
    if managed:
        raise GalleryError(_managed_message(folder))
    if is_gallery(folder) and not _has_gallery_files(folder):
        raise GalleryError(_OCCUPIED.format(folder))


def restore(folder: Path, data: GalleryData, *, with_forgotten: bool = False, keep: bool = False) -> Restoration:
    """Replace a gallery, damaged or not, by the content of a backup, atomically.

    Args:
        folder: the gallery.
        data: content of the backup.
        with_forgotten: also restore people whom the present gallery records as forgotten. Where the record is damaged,
            it is lost, and nobody is left out.
        keep: copy the present gallery beside it first, with the day and time in the name.

    Raises:
        GalleryError: see `check_restorable`.
    """
    with _writing(folder) as resolved:
        check_restorable(resolved)
        try:
            record = read_forgotten(resolved)
        except GalleryError:
            record = ()
        left_out = () if with_forgotten else find_forgotten(data, record)
        restored = unite_records(leave_out(data, left_out, record), record)
        restored = replace(restored, metadata=data.metadata.model_copy(update={"managed": False}))
        kept = copy_beside(resolved) if keep and is_gallery(resolved) else None
        with remove_unless_changed(kept, resolved):
            put_in_place(resolved, restored)
        return Restoration(restored, left_out, None if kept is None else folder.parent / kept.name)


def update(
    folder: Path,
    edit: Callable[[GalleryData], GalleryData],
    *,
    people: Collection[str] | None = None,
    photos: Collection[str] = (),
    initial: GalleryMetadata | None = None,
    allow_managed: bool = False,
) -> Change:
    """Apply `edit` to the gallery on disk, atomically and under the lock.

    Args:
        folder: the gallery.
        edit: computes the new data from the present data; an exception leaves the gallery as it is.
        people: the people that the edit concerns. It gets their faces, those of `photos`, and all rejections; None: it
            gets the whole gallery.
        photos: SHA-256 digests of photos whose faces the edit needs, whoever has them.
        initial: metadata of a gallery to create if there is none; None: a missing gallery is an error.
        allow_managed: also change a copy of a gallery that the pipeline rebuilds.

    Raises:
        GalleryError: the gallery cannot be read or written, or is one that the pipeline rebuilds; or it was changed,
            but may keep what was removed.
    """

    def change(connection: sqlite3.Connection) -> Parts:
        with damage_in_one_line(folder / DATABASE_FILE):
            before = read_whole(connection) if people is None else read_part(connection, people, photos)
        return [(before, number_rows(edit(before), last_row(connection)))]

    if initial is None and not folder.is_dir():
        raise GalleryError(f"{folder}: {MISSING}")
    with _writing(folder) as resolved:
        if initial is not None and not is_gallery(resolved):
            empty = empty_gallery(initial)
            created = put_in_place(resolved, edit(empty))
            return Change(empty, created, make_state(created).revision)
        managed = _prepare(folder, resolved, allow_managed)
        ((before, after),), revision = apply_change(resolved, change, managed=managed)
        return Change(before, after, revision)


def revert(folder: Path, changes: Sequence[Change]) -> None:
    """Undo changes that followed each other, atomically.

    Raises:
        GalleryError: the gallery has been changed since, or cannot be changed.
    """

    def change(connection: sqlite3.Connection) -> Parts:
        if read_change(connection)[1] != changes[-1].revision:
            raise GalleryError(f"{folder}: has been changed since; nothing was undone")
        return [(each.after, each.before) for each in reversed(changes)]

    with _writing(folder) as resolved:
        apply_change(resolved, change, managed=_prepare(folder, resolved, allow_managed=False))


def upgrade(folder: Path) -> bool:
    """Convert a gallery of an earlier format to the present one, atomically.

    Returns:
        Whether it was of an earlier format.

    Raises:
        GalleryError: it is missing, damaged or one that the pipeline rebuilds, or cannot be written.
    """
    if not folder.is_dir():
        raise GalleryError(f"{folder}: {MISSING}")
    with _writing(folder) as resolved:
        is_earlier = is_earlier_format(resolved)
        _prepare(folder, resolved, allow_managed=False)
        return is_earlier


def _prepare(folder: Path, resolved: Path, allow_managed: bool) -> bool:
    """Check that a gallery may be changed, and upgrade it where needed; return whether the pipeline rebuilds it."""
    managed = _is_managed(resolved)
    if managed and not allow_managed:
        raise GalleryError(_managed_message(folder))
    if is_earlier_format(resolved):
        put_in_place(resolved, read_earlier(resolved))
        logger.warning("%s: upgraded to the present format, which earlier versions of onelook do not read", folder)
    return managed


def _is_managed(folder: Path) -> bool:
    return read_database(
        folder, lambda connection: read_state(connection).metadata.managed, lambda data: data.metadata.managed
    )


def _managed_message(folder: Path) -> str:
    return (
        f"{folder}: the pipeline rebuilds this gallery, changes by hand would be lost; "
        "use a folder of your own (--gallery)"
    )


def _has_gallery_files(folder: Path) -> bool:
    return any(is_gallery_file(path) for path in folder.iterdir())


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    """Hold the lock of a gallery and yield the resolved folder; errors of the file system become one line."""
    try:
        with locked(folder) as resolved:
            yield resolved
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be changed ({error.strerror or error})") from error
