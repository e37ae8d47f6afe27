"""Changes to a gallery in Milvus, which knows no transactions: one at a time, and finished where one breaks off.

A change first writes down what it will do, then does it, then strikes it out; what is written down can be done again
from any point with the same end. So a change that was cut off is finished at the start of the next one. Until then

| cut off while | the gallery answers |
|---|---|
| enrolling | as before |
| forgetting | as after: the person's template goes first |
| merging | with one or the other of the two names |

Renaming is one step. What is written down is also the turn: whoever finds another's waits for it, and after PATIENCE
takes it for cut off. Two who write at once see each other, step back and try again.
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
from onelook.gallery.data import Entry
from onelook.gallery.faiss_index import templates
from onelook.gallery.milvus_backend.collections import Collections, digest

PATIENCE = 60.0
"""Seconds for which a change of another process may stand unaltered before it is taken for cut off."""
MOST_PEOPLE = 64
"""People whose names fit into one record."""
TURN = threading.Lock()
"""Held while a thread of this process changes a gallery."""
PHOTO = ("person", "number", "entry", "embedding")


@contextmanager
def take_turn(tables: Collections, generation: str) -> Iterator["Turn"]:
    """Wait for the changes of others to a generation, finish those that were cut off, and hold them off.

    Raises:
        GalleryError: others keep changing it.
    """
    mine = uuid.uuid4().hex
    with TURN:
        _claim(tables, generation, mine)
        turn = Turn(tables, generation, mine)
        try:
            yield turn
        finally:
            if not turn.under_way:  # else the next change finishes it
                tables.remove(generation, "changes", "id", [mine])


def _claim(tables: Collections, generation: str, mine: str) -> None:
    patience = 0.0 if tables.address.embedded else PATIENCE  # an embedded one is open in this process alone
    seen: dict[tuple[str, str], float] = {}
    give_up = time.monotonic() + 5 * PATIENCE
    while time.monotonic() < give_up:
        tables.put(generation, "changes", [{"id": mine, "plan": "{}"}])
        now = time.monotonic()
        found = [(each["id"], each["plan"]) for each in tables.scan(generation, "changes", ["plan"])]
        seen = {claim: seen.get(claim, now) for claim in found if claim[0] != mine}
        if all(now - since >= patience for since in seen.values()):
            for key, plan in seen:
                Turn(tables, generation, key).finish(json.loads(plan))
                tables.remove(generation, "changes", "id", [key])
            return
        tables.remove(generation, "changes", "id", [mine])
        time.sleep(random.uniform(0.05, 0.5))
    raise GalleryError(f"{tables.address}: others keep changing it; try again when they have ended")


class Turn:
    """The right to change a gallery.

    Attributes:
        under_way: a change was written down and not struck out.
    """

    def __init__(self, tables: Collections, generation: str, key: str) -> None:
        """Take the collections and the record of this turn."""
        self._tables = tables
        self._generation = generation
        self._key = key
        self.under_way = False

    def add(self, records: Sequence[dict[str, Any]], names: Mapping[str, str]) -> None:
        """Add photos of the people whose names are given by id; there may be at most MOST_PEOPLE."""
        self._write_down({"settle": dict(names)})
        self._tables.put(self._generation, "photos", records)
        self._settle(names)
        self._strike_out()

    def rename(self, record: dict[str, Any], name: str) -> None:
        """Put a person's record with another name in the place of the old one."""
        self._tables.put(self._generation, "people", [{**record, "name": name, "name_key": digest(name)}])

    def merge(self, one: dict[str, Any], other: dict[str, Any]) -> None:
        """Give the photos of one person, told by the record, to another."""
        settle = {other["id"]: other["name"], one["id"]: one["name"]}
        self._carry_out({"merge": [one["id"], other["id"]], "settle": settle})

    def forget(self, person: dict[str, Any]) -> None:
        """Remove a person, told by the record."""
        self._carry_out({"forget": person["id"]})

    def finish(self, plan: dict[str, Any]) -> None:
        """Do again what a change that was cut off had written down."""
        if "forget" in plan:
            self._tables.remove(self._generation, "people", "id", [plan["forget"]])
            self._tables.remove(self._generation, "photos", "person", [plan["forget"]])
        if "merge" in plan:
            one, other = plan["merge"]
            moved = list(self._tables.find(self._generation, "photos", "person", [one], PHOTO))
            self._tables.put(self._generation, "photos", [{**record, "person": other} for record in moved])
        self._settle(plan.get("settle", {}))
        self._strike_out()

    def _carry_out(self, plan: dict[str, Any]) -> None:
        self._write_down(plan)
        self.finish(plan)

    def _write_down(self, plan: dict[str, Any]) -> None:
        self.under_way = True
        self._tables.put(self._generation, "changes", [{"id": self._key, "plan": json.dumps(plan, ensure_ascii=False)}])

    def _strike_out(self) -> None:
        self._tables.put(self._generation, "changes", [{"id": self._key, "plan": "{}"}])
        self.under_way = False

    def _settle(self, names: Mapping[str, str]) -> None:
        """Compute people's templates from their photos; who has none left is removed."""
        photos = sorted(
            self._tables.find(self._generation, "photos", "person", list(names), PHOTO),
            key=lambda record: (record["number"], record["id"]),
        )
        records = people_records(photos, names)
        self._tables.put(self._generation, "people", records)
        gone = set(names) - {record["id"] for record in records}
        self._tables.remove(self._generation, "people", "id", sorted(gone))


def people_records(photos: Sequence[dict[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The records of people, given all their photos in the order of enrollment, and their names by id."""
    if not photos:
        return []
    owners = [record["person"] for record in photos]
    weights = np.asarray([read_entry(record, names[record["person"]]).weight for record in photos], np.float32)
    embeddings = np.asarray([record["embedding"] for record in photos], np.float32)
    counts = Counter(owners)
    return [
        {
            "id": person,
            "name": names[person],
            "name_key": digest(names[person]),
            "photos": counts[person],
            "template": template,
        }
        for person, template in zip(*templates(embeddings * weights[:, None], owners), strict=True)
    ]


def photo_record(entry: Entry, person: str, number: int, embedding: np.ndarray) -> dict[str, Any]:
    """A photo's record: told by the SHA-256 of its bytes; the name stands in the record of the person's id alone."""
    told = entry.model_dump_json(exclude={"person"})
    return {"id": entry.sha256, "person": person, "number": number, "entry": told, "embedding": embedding}


def read_entry(record: dict[str, Any], name: str) -> Entry:
    """The entry of a photo's record, of a person of this name."""
    return Entry.model_validate_json(json.dumps({**json.loads(record["entry"]), "person": name}))
