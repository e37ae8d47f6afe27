"""Content of a gallery's database: read whole or in part, and verified."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from onelook.errors import GalleryError
from onelook.gallery.data import EnrolledFace, GalleryData
from onelook.gallery.database import REPAIR_HINT
from onelook.gallery.face_rows import (
    COLUMNS,
    DIGEST_MODULUS,
    DamagedRowError,
    FaceArrays,
    FaceRow,
    make_row,
    parse_arrays,
    parse_embeddings,
    parse_face,
    row_digest,
)
from onelook.gallery.gallery_state import GalleryState, read_state
from onelook.untrusted import first_problem

_MAX_PARAMETERS = 500  # of one statement


@contextmanager
def damage_in_one_line(path: Path) -> Iterator[None]:
    """Raise what is wrong with the rows of a database as a GalleryError of one line."""
    try:
        yield
    except (ValidationError, ValueError, TypeError, AttributeError) as error:
        raise GalleryError(f"{path}: damaged ({_first_problem(error)}); {REPAIR_HINT}") from error


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return first_problem(error)
    return str(error) if isinstance(error, DamagedRowError) else "a row has a value of another type"


def read_whole(connection: sqlite3.Connection) -> GalleryData:
    """Read a whole gallery and verify every row and thumbnail."""
    state = read_state(connection)
    data = _collect(state, list(read_rows(connection)), _read_thumbnails(connection))
    check_digest(state, list(map(row_digest, make_rows(data))), set(data.identities))
    return data


def read_part(connection: sqlite3.Connection, people: Collection[str], digests: Collection[str]) -> GalleryData:
    """Read all faces of some people, and the faces enrolled with photos of these SHA-256 digests."""
    state = read_state(connection)
    photos = [bytes.fromhex(digest) for digest in digests]
    rows = {row[0]: row for row in _select_rows(connection, "person", list(people))}
    rows |= {row[0]: row for row in _select_rows(connection, "sha256", photos)}
    return _collect(state, [rows[number] for number in sorted(rows)], _read_thumbnails(connection, sorted(rows)))


def read_arrays(connection: sqlite3.Connection, state: GalleryState) -> FaceArrays:
    """Read what a search needs of all faces, and verify every row."""
    arrays = parse_arrays(read_rows(connection), state.metadata.embedding_size)
    check_digest(state, arrays.digests, set(arrays.people))
    return arrays


def read_changed_people(
    connection: sqlite3.Connection, state: GalleryState, since: int, person_of: Callable[[int], str | None]
) -> tuple[set[str], FaceArrays] | None:
    """Read all faces of the people that changed after a change.

    Args:
        connection: of the database.
        state: its state.
        since: number of the change.
        person_of: returns the person who had a face then; None: nobody.

    Returns:
        The people and their faces; None: the journal does not reach back so far.
    """
    if not state.journal_start <= since <= state.change:
        return None
    ids = [face for (face,) in connection.execute("SELECT DISTINCT face FROM journal WHERE change > ?", (since,))]
    earlier = {person for person in map(person_of, ids) if person is not None}
    people = earlier | {row[1] for row in _select_rows(connection, "id", ids)}
    rows = sorted(_select_rows(connection, "person", sorted(people)), key=lambda row: row[0])
    return people, parse_arrays(rows, state.metadata.embedding_size)


def find_people_of_photos(connection: sqlite3.Connection, digests: Collection[str]) -> dict[str, str]:
    """Map SHA-256 digests of photos to the person enrolled with them."""
    rows = _select_rows(connection, "sha256", [bytes.fromhex(digest) for digest in digests])
    return {row[3].hex(): row[1] for row in sorted(rows, key=lambda row: row[0])}


def check_digest(state: GalleryState, digests: Collection[int], people: Collection[str]) -> None:
    """Check that rows are all that were written.

    Raises:
        DamagedRowError: they are not.
    """
    counts = (len(digests), len(people), sum(digests) % DIGEST_MODULUS)
    if counts != (state.faces, state.people, state.digest):
        raise DamagedRowError("its rows are not those that were written")


def last_row(connection: sqlite3.Connection) -> int:
    """Return the largest number of a row."""
    number: int = connection.execute("SELECT coalesce(max(id), 0) FROM faces").fetchone()[0]
    return number


def number_rows(data: GalleryData, last: int) -> GalleryData:
    """Number the rows that have no number after the last one."""
    ids = []
    for number in data.row_ids:
        last += number < 0
        ids.append(last if number < 0 else number)
    return replace(data, ids=tuple(ids))


def insert_rows(connection: sqlite3.Connection, rows: Sequence[FaceRow], thumbnails: Sequence[str | None]) -> None:
    """Insert rows of faces with their thumbnails."""
    connection.executemany(f"INSERT INTO faces ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    pictures = ((row[0], each) for row, each in zip(rows, thumbnails, strict=True) if each is not None)
    connection.executemany("INSERT INTO thumbnails (face, jpeg) VALUES (?, ?)", pictures)


def make_rows(data: GalleryData) -> list[FaceRow]:
    """Return the rows of numbered gallery data."""
    rows = zip(data.row_ids, data.faces, data.embeddings, strict=True)
    return [make_row(number, face, embedding) for number, face, embedding in rows]


def make_state(data: GalleryData) -> GalleryState:
    """Return the state of a new gallery with numbered data."""
    digest = sum(map(row_digest, make_rows(data))) % DIGEST_MODULUS
    people = len(set(data.identities))
    return GalleryState(data.metadata, data.rejections, data.forgotten, len(data.faces), people, digest, 1, 1)


def _collect(state: GalleryState, rows: list[FaceRow], thumbnails: dict[int, str]) -> GalleryData:
    faces: list[EnrolledFace] = [parse_face(row, thumbnails.get(row[0])) for row in rows]
    embeddings = parse_embeddings([row[9] for row in rows], state.metadata.embedding_size)
    ids = tuple(row[0] for row in rows)
    others = state.people - len({face.person for face in faces})
    return GalleryData(
        state.metadata, tuple(faces), embeddings, state.rejections, state.forgotten, ids=ids, other_people=others
    )


def read_rows(connection: sqlite3.Connection) -> Iterator[FaceRow]:
    """Yield the rows of all faces in the order of enrollment."""
    yield from connection.execute(f"SELECT {COLUMNS} FROM faces ORDER BY id")


def _select_rows(
    connection: sqlite3.Connection, column: str, values: list[int] | list[str] | list[bytes]
) -> list[FaceRow]:
    rows: list[FaceRow] = []
    for start in range(0, len(values), _MAX_PARAMETERS):
        some = values[start : start + _MAX_PARAMETERS]
        marks = ", ".join("?" * len(some))
        rows += connection.execute(f"SELECT {COLUMNS} FROM faces WHERE {column} IN ({marks})", some)
    return rows


def _read_thumbnails(connection: sqlite3.Connection, faces: list[int] | None = None) -> dict[int, str]:
    if faces is None:
        return dict(connection.execute("SELECT face, jpeg FROM thumbnails"))
    thumbnails: dict[int, str] = {}
    for start in range(0, len(faces), _MAX_PARAMETERS):
        some = faces[start : start + _MAX_PARAMETERS]
        marks = ", ".join("?" * len(some))
        thumbnails |= dict(connection.execute(f"SELECT face, jpeg FROM thumbnails WHERE face IN ({marks})", some))
    return thumbnails
