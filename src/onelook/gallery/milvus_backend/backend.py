"""MilvusBackend: a gallery in Milvus, which is searched and changed without reading all of it."""

import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from onelook.errors import GalleryError
from onelook.gallery.backend import SearchResult, check_model
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, Rejection
from onelook.gallery.duplicates import DuplicatePair
from onelook.gallery.enrollment import Deduplication, EnrollmentBatch, deduplicate, refuse_conflicts
from onelook.gallery.gallery_difference import Change
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.collections import Collections, text_digest
from onelook.gallery.milvus_backend.connection import missing_gallery_message
from onelook.gallery.milvus_backend.search import find_similar, search_people
from onelook.gallery.milvus_backend.transactions import (
    MAX_PEOPLE,
    MAX_PHOTOS,
    PHOTO_FIELDS,
    PROCESS_LOCK,
    Transaction,
    make_photo_record,
    parse_photo_record,
    transaction,
)
from onelook.gallery.ranking import Ranking
from onelook.gallery.template_moments import TemplateMoments
from onelook.score_normalization import SimilarityMoments

_COUNT_FIELDS = ("name", "photos")
# Templates read for the mean and the variance of a face's similarities: of larger galleries these are a sample, in the
# order of the random ids. The standard error of the mean is 3 % of the standard deviation.
_MAX_MOMENT_PEOPLE = 1000


class MilvusBackend:
    """A gallery in Milvus; every call reads its present state."""

    def __init__(self, address: MilvusAddress, metadata: GalleryMetadata | None = None) -> None:
        """Open a gallery, or with metadata one that the first enrollment creates.

        Raises:
            GalleryError: there is no gallery and no metadata is given, or Milvus cannot be used.
        """
        self.location = address
        self._collections = Collections(address, create=metadata is not None)
        self._loaded_version = ""
        self._moments: tuple[tuple[str, int, int], TemplateMoments] | None = None
        header = self._collections.read_header()
        if header is not None:
            self.metadata = header[1]
        elif metadata is not None:
            self.metadata = metadata
        else:
            raise GalleryError(missing_gallery_message(address))

    def count_people(self) -> int:
        """Count the enrolled people."""
        version = self._current_version()
        return 0 if version is None else self._collections.count(version, "people")

    def count_photos(self) -> int:
        """Count the enrolled photos."""
        version = self._current_version()
        return 0 if version is None else self._collections.count(version, "photos")

    def people(self) -> dict[str, int]:
        """Return the number of photos of every person, sorted by name."""
        version = self._current_version()
        if version is None:
            return {}
        records = self._collections.scan(version, "people", _COUNT_FIELDS)
        return dict(sorted((record["name"], record["photos"]) for record in records))

    def faces_by_person(self) -> dict[str, list[EnrolledFace]]:
        """Return the enrolled faces of every person, sorted by name."""
        faces: dict[str, list[EnrolledFace]] = {}
        for record, name in self._read_photos(("person", "number", "entry")):
            faces.setdefault(name, []).append(parse_photo_record(record, name))
        return {name: faces[name] for name in sorted(faces)}

    def faces_of(self, name: str) -> list[EnrolledFace]:
        """Return the enrolled faces of one person, in the order of enrollment."""
        version = self._current_version()
        if version is None:
            raise GalleryError(missing_gallery_message(self.location))
        person = self._require_person(version, name)["id"]
        photos = list(self._collections.find(version, "photos", "person", [person], ("person", "number", "entry")))
        photos.sort(key=lambda record: (record["number"], record["id"]))
        return [parse_photo_record(record, name) for record in photos]

    def photo_counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of photos of these people, without those who are not enrolled."""
        version = self._current_version()
        if version is None:
            return {}
        return {name: record["photos"] for name, record in self._find_people(version, names, _COUNT_FIELDS).items()}

    def find_enrolled(self, digests: Sequence[str]) -> dict[str, str]:
        """Map SHA-256 digests of photos to the person enrolled with them."""
        version = self._current_version()
        return {} if version is None else self._find_enrolled(version, digests)

    def search(self, probes: np.ndarray) -> SearchResult:
        """Find the two most similar people of every probe (m, d) float32, re-ranked at full precision."""
        version = self._current_version()
        people_count = 0 if version is None else self._collections.count(version, "people")
        if version is None or not people_count:
            nobody = SimilarityMoments(0, np.zeros(len(probes)), np.zeros(len(probes)))
            return SearchResult(Ranking(np.empty((0, 2), np.int64), np.empty((0, 2), np.float32)), [], 0, nobody)
        ranking, names = search_people(self._collections, version, probes)
        moments = self._read_moments(version, people_count)
        return SearchResult(ranking, names, people_count, moments.of_others(probes, ranking.similarities[:, 0]))

    def describe_search(self) -> str:
        """Describe the search: the collection's index in Milvus, FLAT unless somebody replaced it, and re-ranking."""
        return "search in Milvus, re-ranked exactly"

    def find_duplicates(self, names: Iterable[str]) -> tuple[DuplicatePair, ...]:
        """Find people whose templates match those of the given people."""
        version = self._current_version()
        if version is None:
            return ()
        queried = self._find_people(version, names, ("name", "template"))
        people_count = self._collections.count(version, "people")
        threshold = self.metadata.threshold_for(people_count)
        pairs = []
        for name, record in queried.items():
            template = np.asarray(record["template"], np.float32)
            for other, similarity in find_similar(self._collections, version, template, threshold, people_count):
                if other > name or (other < name and other not in queried):
                    pairs.append(DuplicatePair(name, other, similarity))
        return tuple(sorted(pairs, key=lambda pair: (-pair.similarity, pair.name, pair.other)))

    def add(self, batch: EnrollmentBatch, *, all_or_nothing: bool) -> Deduplication:
        """Enroll the faces of a batch that are new, and create the gallery if there is none."""
        if self._current_version() is None:
            version = self._collections.create_version(self.metadata.embedding_size)
            self._collections.write_header(version, self.metadata)
        with self._transaction() as (version, current):
            enrolled = self._find_enrolled(version, [face.sha256 for face in batch.faces])
            result = deduplicate(enrolled, batch)
            if all_or_nothing:
                refuse_conflicts(batch, result)
            found = self._find_people(version, {batch.faces[i].person for i in result.new}, ("name",))
            ids = {name: record["id"] for name, record in found.items()}
            number = time.time_ns()  # larger than every earlier number, so photos sort in the order of enrollment
            for positions in _split_by_people(batch, result.new):
                records = []
                for i in positions:
                    face = batch.faces[i]
                    person = ids.setdefault(face.person, uuid.uuid4().hex)
                    records.append(make_photo_record(face, person, number + i, batch.embeddings[i]))
                names = {ids[name]: name for name in sorted({batch.faces[i].person for i in positions})}
                current.add(records, names)
        return result

    def rename(self, name: str, new: str) -> None:
        """Give a person a new name."""
        with self._transaction() as (version, current):
            record = self._require_person(version, name)
            if name != new and self._find_people(version, [new], ("name",)):
                raise GalleryError(f"{new}: enrolled already; `onelook merge` makes two people one")
            current.rename(record, new)
        self._purge_deleted()

    def merge(self, name: str, into: str) -> None:
        """Relabel the photos of `name` as photos of `into`."""
        with self._transaction() as (version, current):
            person, target = self._require_person(version, name), self._require_person(version, into)
            if name == into:
                raise GalleryError(f"{name}: cannot be merged with itself; name two people")
            current.merge(person, target)
        self._purge_deleted()

    def forget(self, name: str) -> None:
        """Remove a person; milvus-lite purges the bytes at once, a server when it compacts."""
        with self._transaction() as (version, current):
            current.forget(self._require_person(version, name))
        self._purge_deleted()

    def remove_photos(self, name: str, digests: Collection[str]) -> None:
        """Remove the faces of a person that have one of these SHA-256 digests, but not all faces of the person."""
        with self._transaction() as (version, current):
            person = self._require_person(version, name)
            photos = self._collections.find(version, "photos", "id", list(digests), ("person",))
            ids = [record["id"] for record in photos if record["person"] == person["id"]]
            if len(ids) >= person["photos"]:
                raise GalleryError(f"{name}: has no other photo; `onelook forget` removes the person")
            for start in range(0, len(ids), MAX_PHOTOS):
                current.remove_photos(person, ids[start : start + MAX_PHOTOS])
        self._purge_deleted()

    def rejections(self) -> tuple[Rejection, ...]:
        """Return nothing: Milvus keeps no rejections."""
        return ()

    def reject(self, name: str, embedding: np.ndarray) -> None:
        """Refuse to record that a face is not the person."""
        raise GalleryError(f"{self.location}: Milvus does not keep who a face is not; use a gallery in a folder")

    @property
    def can_revert(self) -> bool:
        """Return False: a change in Milvus cannot be undone."""
        return False

    @contextmanager
    def record_changes(self) -> Iterator[list[Change]]:
        """Yield a list that stays empty."""
        yield []

    def revert(self, changes: Sequence[Change]) -> None:
        """Refuse to undo a change."""
        raise GalleryError(f"{self.location}: a change in Milvus cannot be undone")

    def revision(self) -> str:
        """Return the SHA-256 of the metadata and of the name, photo count and template of every person."""
        version = self._current_version()
        fields = ("name", "photos", "template")
        records = [] if version is None else self._collections.scan(version, "people", fields)
        lines = sorted(
            f"{text_digest(record['name'])} {record['photos']} "
            f"{np.asarray(record['template'], np.float32).tobytes().hex()}"
            for record in records
        )
        return text_digest("\n".join([self.metadata.model_dump_json(by_alias=True), *lines]))

    def refresh(self) -> None:
        """Do nothing: every call reads the present state of Milvus."""

    def read_data(self) -> GalleryData:
        """Read the whole gallery into memory."""
        photos = self._read_photos(PHOTO_FIELDS)
        embeddings = np.asarray([record["embedding"] for record, _ in photos], np.float32)
        faces = tuple(parse_photo_record(record, name) for record, name in photos)
        return GalleryData(self.metadata, faces, embeddings.reshape(len(photos), self.metadata.embedding_size))

    def _read_photos(self, fields: Sequence[str]) -> list[tuple[dict[str, Any], str]]:
        """Read the photo records in the order of enrollment, each with the person's name."""
        version = self._current_version()
        if version is None:
            return []
        names = {record["id"]: record["name"] for record in self._collections.scan(version, "people", ("name",))}
        # A photo without a person's record belongs to a change in progress.
        photos = [record for record in self._collections.scan(version, "photos", fields) if record["person"] in names]
        photos.sort(key=lambda record: (record["number"], record["id"]))
        return [(record, names[record["person"]]) for record in photos]

    def _read_moments(self, version: str, people_count: int) -> TemplateMoments:
        """Compute the moments of up to _MAX_MOMENT_PEOPLE templates, again after people or photos came or went."""
        key = (version, people_count, self._collections.count(version, "photos"))
        if self._moments is None or self._moments[0] != key:
            records = islice(self._collections.scan(version, "people", ("template",)), _MAX_MOMENT_PEOPLE)
            templates = np.asarray([record["template"] for record in records], np.float32)
            moments = TemplateMoments(templates.reshape(-1, self.metadata.embedding_size), people_count)
            self._moments = key, moments
        return self._moments[1]

    def _current_version(self) -> str | None:
        """Read and load the current version; return None if the gallery is not created yet."""
        header = self._collections.read_header()
        if header is None:
            return None
        version, metadata = header
        check_model(self.location, metadata, self.metadata)
        self.metadata = metadata
        if version != self._loaded_version:
            self._collections.load(version)
            self._loaded_version = version
        return version

    @contextmanager
    def _transaction(self) -> Iterator[tuple[str, Transaction]]:
        version = self._current_version()
        if version is None:
            raise GalleryError(missing_gallery_message(self.location))
        with transaction(self._collections, version) as current:
            yield version, current

    def _purge_deleted(self) -> None:
        """Remove deleted records from the disk: by compaction, or for milvus-lite, which rarely compacts, by a copy."""
        with PROCESS_LOCK:
            version = self._current_version()
            assert version is not None
            if self.location.is_embedded:
                copy = self._collections.copy_version(version, self.metadata.embedding_size)
                self._collections.write_header(copy, self.metadata)
            else:
                self._collections.compact(version)

    def _find_enrolled(self, version: str, digests: Sequence[str]) -> dict[str, str]:
        keys = [digest for digest in digests if digest]
        photos = list(self._collections.find(version, "photos", "id", keys, ("person",)))
        ids = sorted({record["person"] for record in photos})
        people = self._collections.find(version, "people", "id", ids, ("name",))
        names = {record["id"]: record["name"] for record in people}
        return {record["id"]: names[record["person"]] for record in photos if record["person"] in names}

    def _find_people(self, version: str, names: Iterable[str], fields: Sequence[str]) -> dict[str, dict[str, Any]]:
        keys = sorted({text_digest(name) for name in names})
        records = self._collections.find(version, "people", "name_key", keys, ("name", *fields))
        return {record["name"]: record for record in records}

    def _require_person(self, version: str, name: str) -> dict[str, Any]:
        found = self._find_people(version, [name], ("name_key", "photos", "template"))
        if name not in found:
            raise GalleryError(f"{name}: nobody of that name is enrolled; `onelook gallery` lists who is")
        return found[name]


def _split_by_people(batch: EnrollmentBatch, positions: Sequence[int]) -> Iterator[list[int]]:
    """Split positions into parts of at most MAX_PEOPLE people; the faces of one person stay in one part."""
    by_person: dict[str, list[int]] = {}
    for i in positions:
        by_person.setdefault(batch.faces[i].person, []).append(i)
    people = list(by_person.values())
    for start in range(0, len(people), MAX_PEOPLE):
        yield [i for faces in people[start : start + MAX_PEOPLE] for i in faces]
