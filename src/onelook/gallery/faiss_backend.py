"""A gallery in a folder: read into memory, searched by FAISS, written whole at every change."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from onelook.gallery import storage
from onelook.gallery.backend import Nearest, check_model
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata, empty_gallery
from onelook.gallery.duplicates import DuplicatePair, find_duplicates
from onelook.gallery.enrollment import Rows, Sorting, add_fresh, refuse_taken, sort_rows
from onelook.gallery.faiss_index import TemplateIndex


class FaissBackend:
    """A gallery folder; it answers from what the folder held when it was read or last changed through this object."""

    def __init__(self, folder: Path, contents: GalleryData) -> None:
        """Take what the folder holds, or will hold with the first enrollment."""
        self.place = folder
        self._index: TemplateIndex | None
        self._header: bytes | None = b""  # as nobody has looked yet
        self._take(contents)

    @property
    def terms(self) -> GalleryMetadata:
        """What the gallery was made with."""
        return self._contents.terms

    def count_people(self) -> int:
        """How many people are enrolled."""
        return len(self._people)

    def count_photos(self) -> int:
        """How many photos are enrolled."""
        return len(self._contents.entries)

    def people(self) -> dict[str, int]:
        """How many photos everyone is enrolled with, sorted by name."""
        return {name: self._people[name] for name in sorted(self._people)}

    def entries(self) -> dict[str, list[Entry]]:
        """What everyone is enrolled with, people sorted by name."""
        return self._contents.people()

    def known(self, names: Iterable[str]) -> dict[str, int]:
        """How many photos those of these people have who are enrolled."""
        return {name: self._people[name] for name in names if name in self._people}

    def owners(self, digests: Sequence[str]) -> dict[str, str]:
        """Whose photos these are."""
        return {digest: self._owners[digest] for digest in digests if digest in self._owners}

    def search(self, probes: np.ndarray) -> Nearest:
        """The most similar people of every probe (m, d) float32."""
        if self._index is None:  # made for the first search: a gallery that is filled in many steps needs none between
            self._index = TemplateIndex(self._contents.weighted(), self._contents.owners)
        return Nearest(self._index.search(probes), self._index.names, len(self._index.names))

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Whom these people resemble as much as a face must to get the name."""
        return find_duplicates(self._contents, names)

    def add(self, rows: Rows, *, whole: bool) -> Sorting:
        """Enroll the rows that the gallery lacks, and begin it where there is none."""
        sorting = Sorting((), (), ())

        def edit(contents: GalleryData) -> GalleryData:
            nonlocal sorting
            check_model(self.place, contents.terms, self.terms)
            sorting = sort_rows(contents, rows)  # of what it holds now: another process may have enrolled meanwhile
            if whole:
                refuse_taken(rows, sorting)
            return add_fresh(contents, rows, sorting)

        self._take(storage.change(self.place, edit, start=self.terms))
        return sorting

    def rename(self, name: str, new: str) -> None:
        """Give a person another name."""
        self._change(lambda contents: contents.renamed(name, new))

    def merge(self, name: str, into: str) -> None:
        """Give one person's photos to another."""
        self._change(lambda contents: contents.merged(name, into))

    def forget(self, name: str) -> None:
        """Remove a person: afterwards no file of the gallery holds the name or an embedding."""
        self._change(lambda contents: contents.without(name))

    def contents(self) -> GalleryData:
        """All that the gallery holds."""
        return self._contents

    def revision(self) -> str:
        """The SHA-256 of gallery.json, which names the other files by their bytes; of the terms where there is none."""
        header = storage.read_header(self.place)
        return hashlib.sha256(self.terms.model_dump_json().encode() if header is None else header).hexdigest()

    def refresh(self) -> None:
        """Take what the folder holds now; nobody where there is none."""
        header = storage.read_header(self.place)  # before the rest: a change in between is seen the next time
        if header != self._header:
            begun = self.terms.model_copy(update={"managed": False})
            contents = empty_gallery(begun) if header is None else storage.read(self.place)
            check_model(self.place, contents.terms, self.terms)
            self._take(contents)
            self._header = header

    def _change(self, edit: Callable[[GalleryData], GalleryData]) -> None:
        self._take(storage.change(self.place, edit))

    def _take(self, contents: GalleryData) -> None:
        self._contents = contents
        self._people = Counter(contents.owners)
        self._owners = {entry.sha256: entry.person for entry in contents.entries}
        self._index = None
