"""Enrolling many people: saved as it goes, begun again where it broke off, and every photo accounted for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from onelook.errors import PhotoError
from onelook.files import sha256
from onelook.gallery.alike import Alike, lookalikes
from onelook.gallery.contents import Contents, Entry
from onelook.gallery.enrolment import PASS, add_fresh, look_alone, sort_rows, stack_rows
from onelook.gallery.names import check_name, photo_name
from onelook.gallery.people_list import Named
from onelook.model.look import Looker

# Photos from one save to the next, and what share of the gallery they must be: a save writes the whole gallery (0.6 s
# with ten thousand faces), so that saves at a fixed distance would take ever more of the time; so they take a tenth.
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
    """What an enrolment of many did.

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
    alike: tuple[Alike, ...]


class BulkEnrolment:
    """Photos of many people on their way into a gallery."""

    def __init__(
        self,
        looker: Looker,
        contents: Contents,
        change: Callable[[Callable[[Contents], Contents]], Contents],
    ) -> None:
        """Take the model, what the gallery holds, and what changes it: given an edit, it returns the new contents."""
        self._looker = looker
        self._change = change
        self._contents = contents
        self._added = 0
        self._known = 0
        self._named: set[str] = set()
        self._changed: set[str] = set()
        self._left_out: list[LeftOut] = []

    def run(self, people: Iterable[Named]) -> tuple[Contents, Report]:
        """Enrol the photos in passes; a photo that is enrolled already is known by its bytes and not looked at again.

        Raises:
            GalleryError: a name cannot be used, or the gallery cannot be changed; what was saved before stays.
        """
        rest = iter(people)
        for first in rest:
            count = max(SAVE, len(self._contents.entries) // SAVE_SHARE)
            # Taken one by one, so that a bar upon them moves as they are looked at.
            self._save(self._look(self._unknown(chain([first], islice(rest, count - 1)))))
        missing = tuple(sorted(self._named - set(self._contents.owners)))
        alike = lookalikes(self._contents, self._changed)
        left_out = tuple(sorted(self._left_out, key=lambda each: (each.name, each.photo)))
        return self._contents, Report(self._added, self._known, left_out, missing, alike)

    def _unknown(self, chunk: Iterable[Named]) -> Iterator[Named]:
        owners = {entry.sha256: entry.person for entry in self._contents.entries}
        for each in chunk:
            name, photo = check_name(each.name), photo_name(each.photo)
            self._named.add(name)
            owner = owners.get(_digest(each.photo))
            if owner is None:
                yield Named(name, each.photo)
            elif owner == name:
                self._known += 1
            else:
                self._leave_out(name, photo, _taken(photo, owner))

    def _look(self, people: Iterator[Named]) -> list[tuple[Entry, np.ndarray]]:
        rows = []
        detect = self._contents.terms.detect
        while some := list(islice(people, PASS)):
            seen = look_alone(self._looker, detect, [(each.name, each.photo) for each in some])
            for each, outcome in zip(some, seen, strict=True):
                if isinstance(outcome, PhotoError):
                    self._leave_out(each.name, photo_name(each.photo), str(outcome))
                else:
                    rows.append(outcome)
        return rows

    def _save(self, seen: list[tuple[Entry, np.ndarray]]) -> None:
        if not seen:
            return
        rows = stack_rows(seen, self._looker.embedding_size)
        sorting = sort_rows(self._contents, rows)

        def add(contents: Contents) -> Contents:
            nonlocal sorting
            sorting = sort_rows(contents, rows)  # of what it holds now, as another process may have enrolled meanwhile
            return add_fresh(contents, rows, sorting)

        self._contents = self._change(add)
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
