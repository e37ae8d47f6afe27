"""Read a gallery folder: verified, in one state, without lock or write permission, in any format."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryData
from onelook.gallery.database import DATABASE_FILE, open_reader
from onelook.gallery.earlier_format import find_unreferenced, read_earlier, read_earlier_forgotten, read_earlier_header
from onelook.gallery.folder import find_remains, has_database, is_earlier_format, is_gallery, read_unswept
from onelook.gallery.forgetting import Forgetting
from onelook.gallery.gallery_content import damage_in_one_line, read_whole
from onelook.gallery.gallery_state import read_change, read_forgotten_rows, read_state

MISSING = "no such gallery; `onelook enroll NAME PHOTO` starts one"
# A change of somebody else may fall into the reading of a folder that cannot be written, and so cannot be locked.
_READ_ONLY_ATTEMPTS, _PAUSE_SECONDS = 5, 0.1
_Content = TypeVar("_Content")


def read(folder: Path) -> GalleryData:
    """Read a gallery folder and verify every row, without write permission.

    Raises:
        GalleryError: it is missing, damaged, inconsistent or of an unknown format.
    """
    return read_database(folder, read_whole, lambda data: data)


def read_database(
    folder: Path, read_rows: Callable[[sqlite3.Connection], _Content], convert: Callable[[GalleryData], _Content]
) -> _Content:
    """Read something of one state of a gallery.

    Args:
        folder: the gallery.
        read_rows: reads it from the database.
        convert: takes it from the data of a gallery of an earlier format, without numbers of rows.

    Raises:
        GalleryError: the gallery is missing, damaged or of an unknown format.
    """
    if not folder.is_dir():
        raise GalleryError(f"{folder}: {MISSING}")
    if is_earlier_format(folder):
        try:
            return convert(read_earlier(folder))
        except GalleryError:
            if not has_database(folder):  # else it was upgraded meanwhile
                raise
    attempts = 1 if os.access(folder, os.W_OK) else _READ_ONLY_ATTEMPTS
    for _ in range(attempts - 1):
        with suppress(GalleryError):
            return _read_rows(folder, read_rows)
        time.sleep(_PAUSE_SECONDS)
    return _read_rows(folder, read_rows)


def _read_rows(folder: Path, read_rows: Callable[[sqlite3.Connection], _Content]) -> _Content:
    with open_reader(folder) as connection, damage_in_one_line(folder / DATABASE_FILE):
        return read_rows(connection)


def read_version(folder: Path) -> tuple[int, str] | None:
    """Read the number of the last change and the revision; return None where there is no gallery.

    Raises:
        GalleryError: the gallery is damaged.
    """
    if not is_gallery(folder):
        return None
    if is_earlier_format(folder):
        with suppress(GalleryError):  # damaged, or upgraded meanwhile
            return 0, hashlib.sha256(read_earlier_header(folder)).hexdigest()
    return _read_rows(folder, read_change)


def read_forgotten(folder: Path) -> tuple[Forgetting, ...]:
    """Read the record of forgotten people, also of a gallery that is damaged elsewhere.

    Raises:
        GalleryError: the record is damaged or missing.
    """
    if not is_gallery(folder):
        return ()
    if is_earlier_format(folder):
        return read_earlier_forgotten(folder)
    return _read_rows(folder, read_forgotten_rows)


def has_remains(folder: Path) -> bool:
    """Return whether a gallery may hold remains of an interrupted change, which the next change removes."""
    if is_earlier_format(folder):
        return bool(find_unreferenced(folder))
    if find_remains(folder):
        return True
    state = _read_rows(folder, read_state)
    return not state.metadata.managed and read_unswept(folder, state.revision) != set()
