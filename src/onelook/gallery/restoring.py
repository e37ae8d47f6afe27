"""Restore a backup without the people who were forgotten since, and keep the gallery that it replaces."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from onelook.gallery.data import GalleryData
from onelook.gallery.database import DATABASE_FILE
from onelook.gallery.folder import NEW_DATABASE
from onelook.gallery.forgetting import Forgetting, drop_entries, find_entries
from onelook.temporaries import create_temporary, release


@dataclass(frozen=True)
class LeftOut:
    """Photos of a person of a backup that the record of forgotten people contains.

    Attributes:
        person: name in the backup.
        photos: number of the photos.
        total: number of photos of the person in the backup.
        day: day on which the person was forgotten, ISO 8601.
    """

    person: str
    photos: int
    total: int
    day: str

    def __str__(self) -> str:
        if self.photos < self.total:
            return f"{self.person}: forgotten on {self.day}, {self.photos} of {self.total} photos"
        return f"{self.person}: forgotten on {self.day}, {self.total} photo{'s' if self.total > 1 else ''}"


@dataclass(frozen=True, eq=False)
class Restoration:
    """The result of restoring a backup.

    Attributes:
        data: the restored gallery.
        left_out: who was left out of it.
        kept: copy of the gallery before; None: there was none.
    """

    data: GalleryData
    left_out: tuple[LeftOut, ...]
    kept: Path | None


def find_forgotten(data: GalleryData, record: Sequence[Forgetting]) -> tuple[LeftOut, ...]:
    """Find the people of a backup who were forgotten since, sorted by name.

    A person is found by the name, or by a photo that was enrolled under a name that was forgotten later: a backup may
    hold a name from before a `rename` or `merge`.
    """
    people = data.faces_by_person()
    by_name = find_entries(record, people)
    found = []
    for person, faces in people.items():
        if entry := by_name.get(person):
            found.append(LeftOut(person, len(faces), len(faces), entry.day))
            continue
        days = [_day_of_photo(face.sha256, record) for face in faces]
        if any(days):
            found.append(LeftOut(person, sum(day is not None for day in days), len(faces), max(filter(None, days))))
    return tuple(found)


def leave_out(data: GalleryData, left_out: Sequence[LeftOut], record: Sequence[Forgetting]) -> GalleryData:
    """Remove what `find_forgotten` found from the data of a backup."""
    for each in left_out:
        if each.photos == each.total:
            data = data.remove(each.person)
        else:
            forgotten = {face.sha256 for face in data.faces_of(each.person) if _day_of_photo(face.sha256, record)}
            data = data.remove_photos(each.person, forgotten)
    return data


def unite_records(data: GalleryData, present: Sequence[Forgetting]) -> GalleryData:
    """Add the record of the present gallery to a backup's; people of the restored gallery leave the record."""
    united = tuple(dict.fromkeys((*data.forgotten, *present)))
    return replace(data, forgotten=drop_entries(united, set(data.identities)))


def kept_name(name: str) -> str:
    """Return the name of the copy of a gallery that a restore replaces now."""
    return f"{name}-before-restore-{datetime.now():%Y-%m-%dT%H-%M-%S}"


def copy_beside(folder: Path) -> Path:
    """Copy a gallery folder, damaged or not, beside itself and return the copy.

    What interrupted changes left in the folder is not copied, unless the database needs it. A kill leaves a hidden
    folder, which the next restore removes.
    """
    temporary, lock = create_temporary(folder, True, is_folder=True)
    shutil.copytree(folder, temporary, ignore=_find_unneeded, dirs_exist_ok=True)
    for path in (temporary, *temporary.rglob("*")):  # galleries of earlier versions could be read by everybody
        path.chmod(0o700 if path.is_dir() else 0o600)
    release(lock)
    kept = folder.parent / kept_name(folder.name)
    number = 2
    while kept.exists():
        kept = kept.with_name(f"{kept_name(folder.name)}-{number}")
        number += 1
    temporary.rename(kept)
    return kept


@contextmanager
def remove_unless_changed(copy: Path | None, folder: Path) -> Iterator[None]:
    """Remove the copy of a gallery where the change that it was made for fails before it is made.

    Otherwise each further attempt would leave one more copy. The change replaces the database file, so that file shows
    whether it was made.
    """
    before = _file_number(folder / DATABASE_FILE)
    try:
        yield
    except BaseException:
        if copy is not None and _file_number(folder / DATABASE_FILE) == before:
            shutil.rmtree(copy, ignore_errors=True)
        raise


def _file_number(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _find_unneeded(folder: str, names: list[str]) -> set[str]:
    """Return the files that a copy of a gallery can do without."""
    return {
        name
        for name in names
        if name.startswith(NEW_DATABASE)
        or name == f"{DATABASE_FILE}-shm"  # SQLite computes it from the log
        or (name == f"{DATABASE_FILE}-wal" and not _first_byte(folder, name))
        # SQLite ignores a journal until it is synced and begins with a mark.
        or (name == f"{DATABASE_FILE}-journal" and _first_byte(folder, name) in (b"", b"\0"))
    }


def _first_byte(folder: str, name: str) -> bytes:
    with (Path(folder) / name).open("rb") as file:
        return file.read(1)


def _day_of_photo(sha256: str, record: Sequence[Forgetting]) -> str | None:
    """Return the latest day on which a photo was forgotten; None: it never was."""
    return max((entry.day for entry in record if entry.is_of_photo(sha256)), default=None)
