"""Transactions for a gallery in Milvus, which has none: a lock and a write-ahead journal in one collection.

A change is first written to the journal, then carried out, then cleared from the journal. Every step is idempotent, so
a change that was cut off is redone from the journal at the start of the next one. Until then:

| cut off while | a search finds |
|---|---|
| enrolling | the state before |
| forgetting | the state after: the person's template is deleted first |
| merging | one or the other of the two names |
| removing a photo | the person, with or without that photo |

Renaming is a single step. The journal record is also the lock. A writer that finds the record of another waits for it,
and treats it as cut off after LOCK_TIMEOUT. Two writers that claim the lock at once both step back and retry.
"""

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from onelook.errors import GalleryError
from onelook.face_templates import make_person_templates
from onelook.gallery.data import EnrolledFace
from onelook.gallery.milvus_backend.collections import Collections, text_digest

LOCK_TIMEOUT = 60.0
"""Seconds after which an unchanged journal record of another process counts as cut off."""
MAX_PEOPLE = 64
"""People per journal record; more names would exceed its length."""
MAX_PHOTOS = 64
"""Removed photos per journal record, for the same reason."""
PROCESS_LOCK = threading.Lock()
"""Lock among the threads of this process that change a gallery."""
PHOTO_FIELDS = ("person", "number", "entry", "embedding")
# Keys of a journal record. `settle` holds the people, id to name, whose templates are recomputed.
_MERGE, _FORGET, _REMOVE, _RECOMPUTE = "merge", "forget", "remove", "settle"


@contextmanager
def transaction(collections: Collections, version: str) -> Iterator["Transaction"]:
    """Acquire the lock of a version, redo changes that were cut off, and yield a transaction.

    Raises:
        GalleryError: other processes keep holding the lock.
    """
    key = uuid.uuid4().hex
    with PROCESS_LOCK:
        _acquire(collections, version, key)
        current = Transaction(collections, version, key)
        try:
            yield current
        finally:
            if not current.in_progress:  # otherwise the next change redoes it
                collections.delete(version, "changes", "id", [key])


def _acquire(collections: Collections, version: str, key: str) -> None:
    # A milvus-lite database is open in this process alone, so any other record is one that was cut off.
    timeout = 0.0 if collections.address.is_embedded else LOCK_TIMEOUT
    first_found: dict[tuple[str, str], float] = {}
    give_up = time.monotonic() + 5 * LOCK_TIMEOUT
    while time.monotonic() < give_up:
        collections.upsert(version, "changes", [{"id": key, "plan": "{}"}])
        now = time.monotonic()
        records = [(record["id"], record["plan"]) for record in collections.scan(version, "changes", ["plan"])]
        first_found = {record: first_found.get(record, now) for record in records if record[0] != key}
        if all(now - since >= timeout for since in first_found.values()):
            for other, plan in first_found:
                Transaction(collections, version, other).redo(json.loads(plan))
                collections.delete(version, "changes", "id", [other])
            return
        collections.delete(version, "changes", "id", [key])
        time.sleep(random.uniform(0.05, 0.5))
    raise GalleryError(f"{collections.address}: others keep changing it; try again when they have ended")


class Transaction:
    """The changes that the holder of the lock can make.

    Attributes:
        in_progress: a change is in the journal.
    """

    def __init__(self, collections: Collections, version: str, key: str) -> None:
        """Take the collections, their version and the id of the journal record."""
        self._collections = collections
        self._version = version
        self._key = key
        self.in_progress = False

    def add(self, records: Sequence[dict[str, Any]], names: Mapping[str, str]) -> None:
        """Add photo records of at most MAX_PEOPLE people, whose names are given by id."""
        self._write_journal({_RECOMPUTE: dict(names)})
        self._collections.upsert(self._version, "photos", records)
        self._recompute_people(names)
        self._clear_journal()

    def rename(self, person: dict[str, Any], name: str) -> None:
        """Replace a person's record by one with a new name."""
        record = {**person, "name": name, "name_key": text_digest(name)}
        self._collections.upsert(self._version, "people", [record])

    def merge(self, person: dict[str, Any], into: dict[str, Any]) -> None:
        """Relabel the photos of one person's record as photos of another's."""
        names = {into["id"]: into["name"], person["id"]: person["name"]}
        self._journal_and_apply({_MERGE: [person["id"], into["id"]], _RECOMPUTE: names})

    def forget(self, person: dict[str, Any]) -> None:
        """Remove a person, given by the record."""
        self._journal_and_apply({_FORGET: person["id"]})

    def remove_photos(self, person: dict[str, Any], photos: Sequence[str]) -> None:
        """Remove at most MAX_PHOTOS photos, by their ids, from a person, given by the record."""
        self._journal_and_apply({_REMOVE: list(photos), _RECOMPUTE: {person["id"]: person["name"]}})

    def redo(self, plan: dict[str, Any]) -> None:
        """Carry out a journal record, whose steps may have been carried out in part."""
        if _FORGET in plan:
            self._collections.delete(self._version, "people", "id", [plan[_FORGET]])
            self._collections.delete(self._version, "photos", "person", [plan[_FORGET]])
        if _REMOVE in plan:
            self._collections.delete(self._version, "photos", "id", plan[_REMOVE])
        if _MERGE in plan:
            person, into = plan[_MERGE]
            photos = list(self._collections.find(self._version, "photos", "person", [person], PHOTO_FIELDS))
            self._collections.upsert(self._version, "photos", [{**photo, "person": into} for photo in photos])
        self._recompute_people(plan.get(_RECOMPUTE, {}))
        self._clear_journal()

    def _journal_and_apply(self, plan: dict[str, Any]) -> None:
        self._write_journal(plan)
        self.redo(plan)

    def _write_journal(self, plan: dict[str, Any]) -> None:
        self.in_progress = True
        record = {"id": self._key, "plan": json.dumps(plan, ensure_ascii=False)}
        self._collections.upsert(self._version, "changes", [record])

    def _clear_journal(self) -> None:
        self._collections.upsert(self._version, "changes", [{"id": self._key, "plan": "{}"}])
        self.in_progress = False

    def _recompute_people(self, names: Mapping[str, str]) -> None:
        """Recompute people's records from their photos, and delete people without photos."""
        photos = sorted(
            self._collections.find(self._version, "photos", "person", list(names), PHOTO_FIELDS),
            key=lambda record: (record["number"], record["id"]),
        )
        records = make_people_records(photos, names)
        self._collections.upsert(self._version, "people", records)
        without_photos = set(names) - {record["id"] for record in records}
        self._collections.delete(self._version, "people", "id", sorted(without_photos))


def make_people_records(photos: Sequence[dict[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Make the records of people from all their photo records, in the order of enrollment, and their names by id."""
    if not photos:
        return []
    ids = [record["person"] for record in photos]
    faces = [parse_photo_record(record, names[record["person"]]) for record in photos]
    weights = np.asarray([face.weight for face in faces], np.float32)
    embeddings = np.asarray([record["embedding"] for record in photos], np.float32)
    counts = Counter(ids)
    return [
        {
            "id": person,
            "name": names[person],
            "name_key": text_digest(names[person]),
            "photos": counts[person],
            "template": template,
        }
        for person, template in zip(*make_person_templates(embeddings, ids, weights), strict=True)
    ]


def make_photo_record(face: EnrolledFace, person: str, number: int, embedding: np.ndarray) -> dict[str, Any]:
    """Make a photo record, whose id is the SHA-256 of the photo.

    The name is only in the record of the person, which `person` is the id of, so that renaming is one step.
    """
    entry = face.model_dump_json(exclude={"person"}, by_alias=True)
    return {"id": face.sha256, "person": person, "number": number, "entry": entry, "embedding": embedding}


def parse_photo_record(record: dict[str, Any], name: str) -> EnrolledFace:
    """Parse the enrolled face of a photo record, for a person of this name."""
    return EnrolledFace.model_validate_json(json.dumps({**json.loads(record["entry"]), "person": name}))
