"""Enrolling many people: saved as it goes, begun again where it broke off, and every photo accounted for."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onelook.errors import PhotoError
from onelook.files import sha256
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import Entry
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import PASS, embed_single_faces, stack_rows
from onelook.gallery.enrollment_list import EnrollmentItem
from onelook.gallery.names import check_name, photo_name
from onelook.inference.parallel import batched, parallel_map
from onelook.inference.predictor import Predictor
from onelook.settings import DetectSettings

# Photos from one save to the next, and what share of the gallery they must be: a save writes a whole folder (0.6 s with
# ten thousand faces), so that saves at a fixed distance would take ever more of the time; so they take a tenth.
SAVE = 64
SAVE_SHARE = 25


@dataclass(frozen=True)
class LeftOut:
    """A photo that was not enrolled.

    Attributes:
        name: of the person it was meant for.
        photo: its path.
        why: one line that says what, where, and what to do.
    """

    name: str
    photo: str
    why: str


@dataclass(frozen=True)
class Report:
    """What an enrollment of many did.

    Attributes:
        added: how many photos were enrolled.
        known: how many were not, because the person had them already.
        left_out: the photos not enrolled for another reason, sorted by name and photo.
        missing: people who were named and have no photo in the gallery, sorted.
        alike: people of this run who resemble somebody as much as a face must to get the name.
    """

    added: int
    known: int
    left_out: tuple[LeftOut, ...]
    missing: tuple[str, ...]
    alike: tuple[DuplicatePair, ...]


Seen = tuple[EnrollmentItem, tuple[Entry, np.ndarray] | PhotoError]
"""A photo and its entry and embedding (d,) float32, or what is wrong with it."""
Looking = Callable[[Iterator[EnrollmentItem]], Iterator[Seen]]
"""Looks at photos, in their order."""


def look_in_passes(looker: Predictor, detect: DetectSettings, people: Iterator[EnrollmentItem]) -> Iterator[Seen]:
    """Look at photos that each show one person alone, a few at a time; hardly more are taken than are looked at."""

    def predict(some: list[EnrollmentItem]) -> list[Seen]:
        return list(
            zip(some, embed_single_faces(looker, detect, [(each.name, each.photo) for each in some]), strict=True)
        )

    with closing(parallel_map(predict, batched(people, PASS))) as portions:
        for seen in portions:
            yield from seen


class BulkEnrollment:
    """Photos of many people on their way into a gallery."""

    def __init__(self, engine: GalleryBackend, looking: Looking) -> None:
        """Take what keeps the people, and what looks at photos."""
        self._engine = engine
        self._looking = looking
        self._added = 0
        self._known = 0
        self._named: set[str] = set()
        self._changed: set[str] = set()
        self._left_out: list[LeftOut] = []

    def run(self, people: Iterable[EnrollmentItem]) -> Report:
        """Enroll the photos as they are seen; what is enrolled already is known by its bytes and not looked at again.

        Raises:
            GalleryError: a name cannot be used, or the gallery cannot be changed; what was saved before stays.
        """
        rows: list[tuple[Entry, np.ndarray]] = []
        enough = self._enough()
        for each, outcome in self._looking(self._unknown(people)):
            if isinstance(outcome, PhotoError):
                self._leave_out(each.name, photo_name(each.photo), str(outcome))
            else:
                rows.append(outcome)
            if len(rows) >= enough:
                self._save(rows)
                rows, enough = [], self._enough()
        self._save(rows)
        missing = tuple(sorted(self._named - set(self._engine.known(self._named))))
        alike = self._engine.find_duplicates(self._changed)
        left_out = tuple(sorted(self._left_out, key=lambda each: (each.name, each.photo)))
        return Report(self._added, self._known, left_out, missing, alike)

    def _enough(self) -> int:
        return max(SAVE, self._engine.count_photos() // SAVE_SHARE)

    def _unknown(self, people: Iterable[EnrollmentItem]) -> Iterator[EnrollmentItem]:
        for some in batched(people, PASS):
            digests = [_digest(each.photo) for each in some]
            owners = self._engine.owners(digests)  # at once: of Milvus it is a call
            for each, digest in zip(some, digests, strict=True):
                name, photo = check_name(each.name), photo_name(each.photo)
                self._named.add(name)
                owner = owners.get(digest)
                if owner is None:
                    yield EnrollmentItem(name, each.photo)
                elif owner == name:
                    self._known += 1
                else:
                    self._leave_out(name, photo, _taken(photo, owner))

    def _save(self, seen: list[tuple[Entry, np.ndarray]]) -> None:
        if not seen:
            return
        rows = stack_rows(seen, self._engine.terms.embedding_size)
        sorting = self._engine.add(rows, whole=False)
        self._added += len(sorting.fresh)
        self._known += len(sorting.known)
        self._changed.update(rows.entries[i].person for i in sorting.fresh)
        for i, owner in sorting.taken:
            entry = rows.entries[i]
            self._leave_out(entry.person, entry.photo, _taken(entry.photo, owner))

    def _leave_out(self, name: str, photo: str, why: str) -> None:
        self._left_out.append(LeftOut(name, photo, why))


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError:  # looking at it tells what is wrong
        return ""


def _taken(photo: str, owner: str) -> str:
    return f"{photo}: this photo is enrolled as {owner}; take it from one of the two"
