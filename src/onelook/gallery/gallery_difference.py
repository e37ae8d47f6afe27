"""Changes of a gallery: the difference of two contents, written as rows, with a journal for other processes."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace

from onelook.gallery.data import GalleryData
from onelook.gallery.face_rows import DIGEST_MODULUS, FaceRow, row_digest
from onelook.gallery.gallery_content import insert_rows, make_rows
from onelook.gallery.gallery_state import GalleryState, write_state

# The journal names the faces of this many changes; a process that is further behind reads the whole gallery.
JOURNAL_LENGTH = 1000
# A change of more faces is not journaled: reading the whole gallery is as fast.
_MAX_JOURNALED_FACES = 10_000


@dataclass(frozen=True, eq=False)
class Change:
    """A change that was made.

    Attributes:
        before, after: the part of the gallery that it concerned.
        revision: of the whole gallery after it.
    """

    before: GalleryData
    after: GalleryData
    revision: str


@dataclass(frozen=True)
class Difference:
    """Rows and state that a change writes.

    Attributes:
        removed: rows that it removes, or replaces.
        added: rows that it adds.
        thumbnails: of the added rows.
        state: of the gallery after it.
        erases: whether it removes something that no file may keep.
    """

    removed: list[FaceRow]
    added: list[FaceRow]
    thumbnails: list[str | None]
    state: GalleryState
    erases: bool


def compare(state: GalleryState, before: GalleryData, after: GalleryData) -> Difference | None:
    """Compare two contents of a part of a gallery; return None where they are equal.

    Args:
        state: of the gallery before the change.
        before: content before it.
        after: content after it, all rows with numbers.
    """
    old = {row[0]: row for row in make_rows(before)}
    new = {row[0]: (row, face.thumbnail) for row, face in zip(make_rows(after), after.faces, strict=True)}
    removed = [row for number, row in old.items() if number not in new or new[number][0] != row]
    added = [(row, thumbnail) for number, (row, thumbnail) in new.items() if old.get(number) != row]
    difference = sum(row_digest(row) for row, _ in added) - sum(map(row_digest, removed))
    changed = replace(
        state,
        metadata=after.metadata,
        rejections=after.rejections,
        forgotten=after.forgotten,
        faces=state.faces + len(new) - len(old),
        people=state.people + len(set(after.identities)) - len(set(before.identities)),
        digest=(state.digest + difference) % DIGEST_MODULUS,
    )
    if changed == state and not removed and not added:
        return None
    rows, thumbnails = [row for row, _ in added], [thumbnail for _, thumbnail in added]
    records = {*state.rejections, *state.forgotten} - {*changed.rejections, *changed.forgotten}
    erases = bool(removed or records)
    return Difference(removed, rows, thumbnails, replace(changed, change=state.change + 1), erases)


def write_difference(connection: sqlite3.Connection, difference: Difference) -> None:
    """Write the rows of a change, its entries in the journal and the state, in the caller's transaction."""
    for table, column in (("faces", "id"), ("thumbnails", "face")):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", ((row[0],) for row in difference.removed))
    insert_rows(connection, difference.added, difference.thumbnails)
    faces = {row[0] for row in (*difference.removed, *difference.added)}
    write_state(connection, _write_journal(connection, difference.state, faces))


def _write_journal(connection: sqlite3.Connection, state: GalleryState, faces: Collection[int]) -> GalleryState:
    start = max(state.journal_start, state.change - JOURNAL_LENGTH)
    if len(faces) > _MAX_JOURNALED_FACES:
        start = state.change
    else:
        connection.executemany("INSERT INTO journal VALUES (?, ?)", ((state.change, face) for face in sorted(faces)))
    connection.execute("DELETE FROM journal WHERE change <= ?", (start,))
    return replace(state, journal_start=start)
