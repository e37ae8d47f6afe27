"""The state row of a gallery's database: metadata, counts and digests, verified when it is read."""

import hashlib
import json
import sqlite3
from dataclasses import dataclass

from onelook.gallery.data import GalleryMetadata, Rejection
from onelook.gallery.database import FORMAT
from onelook.gallery.face_rows import DamagedRowError
from onelook.gallery.forgetting import Forgetting


@dataclass(frozen=True)
class GalleryState:
    """The state of a gallery without its faces.

    Attributes:
        metadata: model, detection settings and threshold.
        rejections, forgotten: see `GalleryData`.
        faces, people: how many.
        digest: sum of the digests of the rows of all faces, see `face_rows.row_digest`.
        change: number of the last change.
        journal_start: the first change after which the journal names all changed faces.
    """

    metadata: GalleryMetadata
    rejections: tuple[Rejection, ...]
    forgotten: tuple[Forgetting, ...]
    faces: int
    people: int
    digest: int
    change: int
    journal_start: int

    @property
    def revision(self) -> str:
        """Return the SHA-256 of the content; a change that is undone has the revision before it."""
        content = [
            FORMAT,
            self.metadata.model_dump_json(by_alias=True),
            [rejection.model_dump_json() for rejection in self.rejections],
            [entry.model_dump_json() for entry in self.forgotten],
            self.faces,
            self.people,
            f"{self.digest:064x}",
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_state(connection: sqlite3.Connection) -> GalleryState:
    """Read the state and verify its revision.

    Raises:
        DamagedRowError: it is damaged.
        pydantic.ValidationError: the metadata, a rejection or an entry of the forgotten is damaged.
    """
    rows = connection.execute(
        "SELECT metadata, faces, people, digest, revision, change, journal_start FROM state"
    ).fetchall()
    if len(rows) != 1 or not all(isinstance(value, kind) for value, kind in zip(rows[0], _TYPES, strict=True)):
        raise DamagedRowError("it has no state")
    metadata, faces, people, digest, revision, change, journal_start = rows[0]
    state = GalleryState(
        metadata=GalleryMetadata.model_validate_json(metadata),
        rejections=tuple(Rejection.model_validate_json(text) for text in _read_records(connection, "rejections")),
        forgotten=read_forgotten_rows(connection),
        faces=faces,
        people=people,
        digest=int(digest, 16),
        change=change,
        journal_start=journal_start,
    )
    if state.revision != revision:
        raise DamagedRowError("its checksum does not match")
    size = state.metadata.embedding_size
    if any(rejection.vector.shape != (size,) for rejection in state.rejections):
        raise DamagedRowError("it has a rejection without an embedding")
    return state


_TYPES = (str, int, int, str, str, int, int)


def read_forgotten_rows(connection: sqlite3.Connection) -> tuple[Forgetting, ...]:
    """Read the record of the forgotten.

    Raises:
        pydantic.ValidationError: it is damaged.
    """
    return tuple(Forgetting.model_validate_json(text) for text in _read_records(connection, "forgotten"))


def read_change(connection: sqlite3.Connection) -> tuple[int, str]:
    """Read the number of the last change and the revision, unverified."""
    row = connection.execute("SELECT change, revision FROM state").fetchone()
    if row is None:
        raise DamagedRowError("it has no state")
    return row


def write_state(connection: sqlite3.Connection, state: GalleryState) -> None:
    """Write the state row, the rejections and the record of the forgotten, in the caller's transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO state (id, metadata, faces, people, digest, revision, change, journal_start) "
        "VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        (
            state.metadata.model_dump_json(by_alias=True),
            state.faces,
            state.people,
            f"{state.digest:064x}",
            state.revision,
            state.change,
            state.journal_start,
        ),
    )
    _write_records(connection, "rejections", [rejection.model_dump_json() for rejection in state.rejections])
    _write_records(connection, "forgotten", [entry.model_dump_json() for entry in state.forgotten])


def _read_records(connection: sqlite3.Connection, table: str) -> list[str]:
    records = [text for (text,) in connection.execute(f"SELECT record FROM {table} ORDER BY id")]
    if not all(isinstance(text, str) for text in records):
        raise DamagedRowError(f"a record of {table} is no text")
    return records


def _write_records(connection: sqlite3.Connection, table: str, records: list[str]) -> None:
    if records != _read_records(connection, table):
        connection.execute(f"DELETE FROM {table}")
        connection.executemany(f"INSERT INTO {table} (id, record) VALUES (?, ?)", enumerate(records, 1))
