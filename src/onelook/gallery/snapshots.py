"""Snapshots of a gallery folder for a search: read whole, or brought up to date with what changed."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from onelook.gallery.data import GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.face_rows import FaceArrays, parse_arrays
from onelook.gallery.gallery_content import (
    find_people_of_photos,
    make_rows,
    make_state,
    number_rows,
    read_arrays,
    read_changed_people,
    read_part,
)
from onelook.gallery.gallery_state import GalleryState, read_state
from onelook.gallery.people_index import PeopleIndex
from onelook.gallery.reading import read_database, read_version


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A gallery as it was when it was read.

    Attributes:
        version: what `read_version` returned for it; None: there was no gallery.
        state: the gallery without its faces.
        people: its people.
    """

    version: tuple[int, str] | None
    state: GalleryState
    people: PeopleIndex


def make_empty(metadata: GalleryMetadata) -> Snapshot:
    """Return the snapshot of a gallery that does not exist yet."""
    return Snapshot(None, *_of_data(empty_gallery(metadata)))


def read(folder: Path) -> Snapshot:
    """Read a gallery, and verify all rows but the thumbnails.

    Raises:
        GalleryError: it is missing, damaged or of an unknown format.
    """

    def read_rows(connection: sqlite3.Connection) -> tuple[GalleryState, FaceArrays]:
        state = read_state(connection)
        return state, read_arrays(connection, state)

    version = read_version(folder)  # before the data: a change in between is found at the next refresh
    state, arrays = read_database(folder, read_rows, _arrays_of)
    return Snapshot(version, state, PeopleIndex(arrays))


def read_changes(folder: Path, earlier: Snapshot) -> Snapshot:
    """Read what changed since a snapshot, whose people become those of the new one; or read the whole gallery.

    Raises:
        GalleryError: the gallery is missing, damaged or of an unknown format.
    """

    def read_rows(connection: sqlite3.Connection) -> tuple[GalleryState, set[str], FaceArrays] | None:
        state = read_state(connection)
        if state.metadata != earlier.state.metadata:
            return None
        changed = read_changed_people(connection, state, earlier.state.change, earlier.people.person_of)
        return None if changed is None else (state, *changed)

    changes = read_database(folder, read_rows, lambda data: None)
    if changes is None:
        return read(folder)
    state, people, arrays = changes
    earlier.people.update(people, arrays)
    if earlier.people.content_counts != (state.faces, state.people, state.digest):  # another gallery in its place
        return read(folder)
    return Snapshot((state.change, state.revision), state, earlier.people)


def read_person(folder: Path, name: str) -> GalleryData:
    """Read the faces of one person.

    Raises:
        GalleryError: the gallery is missing, damaged or of an unknown format.
    """
    return read_database(folder, lambda connection: read_part(connection, [name], ()), lambda data: data)


def find_enrolled(folder: Path, digests: Collection[str]) -> dict[str, str]:
    """Map SHA-256 digests of photos to the person enrolled with them.

    Raises:
        GalleryError: the gallery is missing, damaged or of an unknown format.
    """

    def find(data: GalleryData) -> dict[str, str]:
        return {face.sha256: face.person for face in data.faces if face.sha256 in wanted}

    wanted = set(digests)
    return read_database(folder, lambda connection: find_people_of_photos(connection, digests), find)


def _of_data(data: GalleryData) -> tuple[GalleryState, PeopleIndex]:
    state, arrays = _arrays_of(data)
    return state, PeopleIndex(arrays)


def _arrays_of(data: GalleryData) -> tuple[GalleryState, FaceArrays]:
    numbered = number_rows(data, 0)
    return make_state(numbered), parse_arrays(make_rows(numbered), data.metadata.embedding_size)
