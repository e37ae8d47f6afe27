"""A gallery in Milvus: an answer reads a few templates of it, a change the photos of the people it changes."""

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from onelook.errors import GalleryError
from onelook.gallery.backend import Nearest, check_model
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import Rows, Sorting, refuse_taken, sort_by_owner
from onelook.gallery.faiss_index import Ranking
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.changes import (
    MOST_PEOPLE,
    PHOTO,
    TURN,
    Turn,
    photo_record,
    read_entry,
    take_turn,
)
from onelook.gallery.milvus_backend.collections import Collections, digest
from onelook.gallery.milvus_backend.connection import absent
from onelook.gallery.milvus_backend.ranking import CANDIDATES, rank_again

# A probe's answer brings CANDIDATES templates with it: so many of 128 numbers are 1 MB in a message.
_PROBES = 128
_MOST_HITS = 16_384
_COUNTED = ("name", "photos")


class MilvusBackend:
    """The people of a gallery in Milvus; every answer is from what it holds at that moment."""

    def __init__(self, address: MilvusAddress, terms: GalleryMetadata | None = None) -> None:
        """Open a gallery, or with terms one that the first enrollment begins.

        Raises:
            GalleryError: there is no gallery and no terms are given, or Milvus cannot be used.
        """
        self.place = address
        self._tables = Collections(address, begin=terms is not None)
        self._loaded = ""
        head = self._tables.read_head()
        if head is not None:
            self.terms = head[1]
        elif terms is not None:
            self.terms = terms
        else:
            raise GalleryError(absent(address))

    def count_people(self) -> int:
        """How many people are enrolled."""
        return 0 if (held := self._held()) is None else self._tables.count(held, "people")

    def count_photos(self) -> int:
        """How many photos are enrolled."""
        return 0 if (held := self._held()) is None else self._tables.count(held, "photos")

    def people(self) -> dict[str, int]:
        """How many photos everyone is enrolled with, sorted by name."""
        if (held := self._held()) is None:
            return {}
        return dict(sorted((each["name"], each["photos"]) for each in self._tables.scan(held, "people", _COUNTED)))

    def entries(self) -> dict[str, list[Entry]]:
        """What everyone is enrolled with, people sorted by name."""
        rows: dict[str, list[Entry]] = {}
        for record, name in self._photos(("person", "number", "entry")):
            rows.setdefault(name, []).append(read_entry(record, name))
        return {name: rows[name] for name in sorted(rows)}

    def known(self, names: Iterable[str]) -> dict[str, int]:
        """How many photos those of these people have who are enrolled."""
        if (held := self._held()) is None:
            return {}
        return {name: record["photos"] for name, record in self._find_people(held, names, _COUNTED).items()}

    def owners(self, digests: Sequence[str]) -> dict[str, str]:
        """Whose photos these are."""
        return {} if (held := self._held()) is None else self._owners(held, digests)

    def search(self, probes: np.ndarray) -> Nearest:
        """The most similar people of every probe: Milvus names candidates, which are compared again with every bit."""
        held = self._held()
        people = 0 if held is None else self._tables.count(held, "people")
        if held is None or not people:
            return Nearest(Ranking(np.empty((0, 2), np.int64), np.empty((0, 2), np.float32)), [], 0)
        places: dict[str, int] = {}
        rankings = [
            self._rank(held, np.asarray(probes[start : start + _PROBES], np.float32), places)
            for start in range(0, len(probes), _PROBES)
        ]
        ranking = Ranking(
            np.concatenate([ranking.places for ranking in rankings]),
            np.concatenate([ranking.similarities for ranking in rankings]),
        )
        return Nearest(ranking, list(places), people)

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Whom these people resemble as much as a face must to get the name."""
        if (held := self._held()) is None:
            return ()
        asked = self._find_people(held, names, ("name", "template"))
        count = self._tables.count(held, "people")
        least = self.terms.threshold_for(count)
        pairs = []
        for name, record in asked.items():
            template = np.asarray(record["template"], np.float32)
            for other, similarity in self._at_least(held, template, least, count):
                if other > name or (other < name and other not in asked):
                    pairs.append(DuplicatePair(name, other, similarity))
        return tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.name, pair.other)))

    def add(self, rows: Rows, *, whole: bool) -> Sorting:
        """Enroll the rows that the gallery lacks, and begin it where there is none."""
        if self._held() is None:
            self._tables.write_head(self._tables.new_generation(self.terms.embedding_size), self.terms)
        with self._turn() as (held, turn):
            sorting = sort_by_owner(self._owners(held, [entry.sha256 for entry in rows.entries]), rows)
            if whole:
                refuse_taken(rows, sorting)
            found = self._find_people(held, {rows.entries[i].person for i in sorting.fresh}, ("name",))
            ids = {name: record["id"] for name, record in found.items()}
            number = time.time_ns()  # later than every number before: rows are in the order of enrollment
            for some in _by_people(rows, sorting.fresh):
                records = []
                for i in some:
                    entry = rows.entries[i]
                    person = ids.setdefault(entry.person, uuid.uuid4().hex)
                    records.append(photo_record(entry, person, number + i, rows.embeddings[i]))
                names = {ids[name]: name for name in sorted({rows.entries[i].person for i in some})}
                turn.add(records, names)
        return sorting

    def rename(self, name: str, new: str) -> None:
        """Give a person another name."""
        with self._turn() as (held, turn):
            record = self._person(held, name)
            if name != new and self._find_people(held, [new], ("name",)):
                raise GalleryError(f"{new}: enrolled already; `onelook merge` makes two people one")
            turn.rename(record, new)
        self._purge()

    def merge(self, name: str, into: str) -> None:
        """Give one person's photos to another."""
        with self._turn() as (held, turn):
            one, other = self._person(held, name), self._person(held, into)
            if name == into:
                raise GalleryError(f"{name}: cannot be merged with itself; name two people")
            turn.merge(one, other)
        self._purge()

    def forget(self, name: str) -> None:
        """Remove a person; on a server the bytes go when it compacts, in milvus-lite at once."""
        with self._turn() as (held, turn):
            turn.forget(self._person(held, name))
        self._purge()

    def revision(self) -> str:
        """The SHA-256 of the terms, of who is enrolled, with how many photos, and of the templates."""
        held = self._held()
        records = [] if held is None else self._tables.scan(held, "people", ("name", "photos", "template"))
        told = sorted(
            f"{digest(each['name'])} {each['photos']} {np.asarray(each['template'], np.float32).tobytes().hex()}"
            for each in records
        )
        return digest("\n".join([self.terms.model_dump_json(), *told]))

    def refresh(self) -> None:
        """Nothing is to be done: every answer is from what Milvus holds."""

    def contents(self) -> GalleryData:
        """All that the gallery holds."""
        photos = self._photos(PHOTO)
        embeddings = np.asarray([record["embedding"] for record, _ in photos], np.float32)
        entries = tuple(read_entry(record, name) for record, name in photos)
        return GalleryData(self.terms, entries, embeddings.reshape(len(photos), self.terms.embedding_size))

    def _photos(self, fields: Sequence[str]) -> list[tuple[dict[str, Any], str]]:
        """The photos' records in the order of enrollment, each with the person's name."""
        held = self._held()
        if held is None:
            return []
        names = {record["id"]: record["name"] for record in self._tables.scan(held, "people", ("name",))}
        # Who has no template yet is being enrolled, or forgotten, at this moment.
        photos = [record for record in self._tables.scan(held, "photos", fields) if record["person"] in names]
        photos.sort(key=lambda record: (record["number"], record["id"]))
        return [(record, names[record["person"]]) for record in photos]

    def _held(self) -> str | None:
        """The generation that holds now; None: the gallery is not begun."""
        head = self._tables.read_head()
        if head is None:
            return None
        generation, terms = head
        check_model(self.place, terms, self.terms)
        self.terms = terms
        if generation != self._loaded:
            self._tables.load(generation)
            self._loaded = generation
        return generation

    @contextmanager
    def _turn(self) -> Iterator[tuple[str, Turn]]:
        held = self._held()
        if held is None:
            raise GalleryError(absent(self.place))
        with take_turn(self._tables, held) as turn:
            yield held, turn

    def _purge(self) -> None:
        """Take what was removed from the disk; milvus-lite, which seldom compacts, by a copy of what is left."""
        with TURN:
            held = self._held()
            assert held is not None
            if self.place.embedded:
                self._tables.write_head(self._tables.copy(held, self.terms.embedding_size), self.terms)
            else:
                self._tables.compact(held)

    def _rank(self, held: str, probes: np.ndarray, numbers: dict[str, int]) -> Ranking:
        """The two most similar people of probes (m, d), as numbers of `numbers`, to which those met first are added."""
        found = self._tables.nearest(held, probes, CANDIDATES)
        met = {hit["name"]: hit["template"] for hits in found for hit in hits}
        names = sorted(met)
        rows = np.asarray([met[name] for name in names], np.float32).reshape(len(names), probes.shape[1])
        place = {name: i for i, name in enumerate(names)}
        places = np.full((len(probes), CANDIDATES), -1, np.int64)
        for i, hits in enumerate(found):
            # In the order of names, so that of two who are equally similar always the same comes first.
            places[i, : len(hits)] = sorted(place[hit["name"]] for hit in hits)
        ranking = rank_again(rows, probes, places, 2)
        number = np.asarray([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
        return Ranking(np.where(ranking.places < 0, -1, number[ranking.places]), ranking.similarities)

    def _at_least(self, held: str, template: np.ndarray, least: float, count: int) -> list[tuple[str, float]]:
        """Everybody as similar to a template (d,) as that, with the similarity."""
        limit = CANDIDATES
        while True:
            hits = self._tables.nearest(held, [template], limit)[0]
            similar = [(hit["name"], float(np.asarray(hit["template"], np.float32) @ template)) for hit in hits]
            if limit >= min(count, _MOST_HITS) or similar[-1][1] < least:
                return [(name, similarity) for name, similarity in similar if similarity >= least]
            limit = min(4 * limit, _MOST_HITS)

    def _owners(self, held: str, digests: Sequence[str]) -> dict[str, str]:
        photos = list(self._tables.find(held, "photos", "id", [each for each in digests if each], ("person",)))
        people = sorted({record["person"] for record in photos})
        names = {record["id"]: record["name"] for record in self._tables.find(held, "people", "id", people, ("name",))}
        return {record["id"]: names[record["person"]] for record in photos if record["person"] in names}

    def _find_people(self, held: str, names: Iterable[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        keys = sorted({digest(name) for name in names})
        return {
            record["name"]: record for record in self._tables.find(held, "people", "name_key", keys, ("name", *fields))
        }

    def _person(self, held: str, name: str) -> dict[str, Any]:
        found = self._find_people(held, [name], ("name_key", "photos", "template"))
        if name not in found:
            raise GalleryError(f"{name}: nobody of that name is enrolled; `onelook gallery` lists who is")
        return found[name]


def _by_people(rows: Rows, chosen: Sequence[int]) -> Iterator[list[int]]:
    """The chosen rows in parts of MOST_PEOPLE people; a person's rows of one call are in one part."""
    by_person: dict[str, list[int]] = {}
    for i in chosen:
        by_person.setdefault(rows.entries[i].person, []).append(i)
    people = list(by_person.values())
    for start in range(0, len(people), MOST_PEOPLE):
        yield [i for some in people[start : start + MOST_PEOPLE] for i in some]
