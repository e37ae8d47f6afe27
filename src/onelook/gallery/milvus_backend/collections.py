"""The collections of a gallery in Milvus, and every call that is made to them.

    onelook_NAME                     one record: the gallery's terms, and which generation of the others holds
    onelook_NAME_GENERATION_people   a record each: name, number of photos, template
    onelook_NAME_GENERATION_photos   a record each: whose, the entry, its number in the order of enrollment, embedding
    onelook_NAME_GENERATION_changes  the changes under way, see `changes`

A gallery begins with the first one's record, and a new generation takes the place of the old one by it, in one step.
No name is ever part of a filter: people are told by random numbers and by the SHA-256 of their names.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from onelook.errors import GalleryError
from onelook.gallery.data import GalleryMetadata, Part
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.connection import absent, connect, told

FORMAT: Literal["onelook milvus gallery 1"] = "onelook milvus gallery 1"
TABLES = ("people", "photos", "changes")
_HEAD = "gallery"
_FIELDS: dict[str, dict[str, int | None]] = {
    "people": {"name": 1000, "name_key": 64, "photos": None},
    "photos": {"person": 64, "number": None, "entry": 65535},
    "changes": {"plan": 65535},
    "head": {"value": 65535},
}
_LOOKED_UP = {"people": "name_key", "photos": "person"}
_VECTOR = {"people": "template", "photos": "embedding"}
_BATCH = 500
# Milvus makes no collection without a vector.
_NOWHERE = [0.0, 0.0]


class _Head(Part):
    format: Literal["onelook milvus gallery 1"]
    generation: str = Field(pattern=r"^[0-9a-f]{8}$")
    terms: GalleryMetadata


class Collections:
    """The collections of one gallery; where Milvus refuses a call, a GalleryError says what it said."""

    def __init__(self, address: MilvusAddress, *, begin: bool = False) -> None:
        """Connect.

        Args:
            address: of the gallery.
            begin: make a database where there is none.

        Raises:
            GalleryError: Milvus cannot be reached, or its package is not installed.
        """
        self.address = address
        if address.embedded and not begin and not Path(address.uri).exists():
            raise GalleryError(absent(address))
        self._client = connect(address)
        self._head = f"onelook_{address.name}"

    def read_head(self) -> tuple[str, GalleryMetadata] | None:
        """The generation that holds, and the gallery's terms; None: there is no gallery."""
        with self._told():
            if not self._client.has_collection(self._head):
                return None
            self._client.load_collection(self._head)
            found = self._client.query(self._head, filter=_among("id", [digest(_HEAD)]), output_fields=["value"])
        if not found:
            return None
        try:
            head = _Head.model_validate_json(found[0]["value"])
        except ValidationError as error:
            raise GalleryError(
                f"{self.address}: its description is not one that this onelook reads; use the one that made it"
            ) from error
        return head.generation, head.terms

    def write_head(self, generation: str, terms: GalleryMetadata) -> None:
        """Let a generation hold from now on, and remove every other."""
        head = _Head(format=FORMAT, generation=generation, terms=terms)
        with self._told():
            self._make(self._head, "head", 2)
            record = {"id": digest(_HEAD), "vector": _NOWHERE, "value": head.model_dump_json()}
            self._client.upsert(self._head, [record])
        self.sweep(generation)

    def new_generation(self, size: int) -> str:
        """Make empty collections for embeddings of this size; they hold nothing that counts before `write_head`."""
        generation = secrets.token_hex(4)
        with self._told():
            for table in TABLES:
                self._make(self._full(generation, table), table, size if table in _VECTOR else 2)
        return generation

    def copy(self, generation: str, size: int) -> str:
        """A new generation with the records of another."""
        new = self.new_generation(size)
        for table in TABLES:
            self.put(new, table, self.scan(generation, table, ["*"]))
        return new

    def sweep(self, generation: str | None) -> None:
        """Remove every generation but one, or all."""
        ours = re.compile(rf"{self._head}_([0-9a-f]{{8}})_({'|'.join(TABLES)})")
        with self._told():
            for name in self._client.list_collections():
                found = ours.fullmatch(name)
                if found and found[1] != generation:
                    self._client.drop_collection(name)

    def load(self, generation: str) -> None:
        """Make the collections ready to be searched, as after a start of Milvus they may not be."""
        with self._told():
            for table in TABLES:
                self._client.load_collection(self._full(generation, table))

    def count(self, generation: str, table: str) -> int:
        """How many records there are."""
        with self._told():
            return self._client.query(self._full(generation, table), output_fields=["count(*)"])[0]["count(*)"]

    def find(
        self, generation: str, table: str, field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The records whose field, of hexadecimal digits, is among the keys."""
        collection = self._full(generation, table)
        for some in _batches(keys):
            if field == "person":  # of whom there may be more than one answer holds
                yield from self._iterate(collection, _among(field, some), fields)
            else:
                with self._told():
                    found = self._client.query(collection, filter=_among(field, some), output_fields=["id", *fields])
                yield from found

    def scan(self, generation: str, table: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """All records."""
        return self._iterate(self._full(generation, table), "", fields)

    def put(self, generation: str, table: str, records: Iterable[dict[str, Any]]) -> None:
        """Write records, in the place of those that have their ids."""
        without = {} if table in _VECTOR else {"vector": _NOWHERE}
        for some in _batches(records):
            with self._told():
                self._client.upsert(self._full(generation, table), [{**record, **without} for record in some])

    def remove(self, generation: str, table: str, field: str, keys: Sequence[str]) -> None:
        """Remove the records whose field, of hexadecimal digits, is among the keys."""
        for some in _batches(keys):
            with self._told():
                self._client.delete(self._full(generation, table), filter=_among(field, some))

    def nearest(self, generation: str, probes: Iterable[Any], limit: int) -> list[list[dict[str, Any]]]:
        """For each probe the people with the most similar templates: id, name and template."""
        with self._told():
            found = self._client.search(
                self._full(generation, "people"),
                data=list(probes),
                anns_field="template",
                limit=limit,
                output_fields=["name", "template"],
                search_params={"metric_type": "IP"},
            )
        return [[{"id": hit["id"], **hit["entity"]} for hit in hits] for hits in found]

    def compact(self, generation: str) -> None:
        """Ask for the removed records to be taken from the disk."""
        with self._told():
            for table in TABLES:
                self._client.flush(self._full(generation, table))
                self._client.compact(self._full(generation, table))

    def _full(self, generation: str, table: str) -> str:
        return f"{self._head}_{generation}_{table}"

    def _iterate(self, collection: str, condition: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        with self._told():
            pages = self._client.query_iterator(
                collection, batch_size=_BATCH, filter=condition, output_fields=["id", *fields]
            )
            try:
                while page := pages.next():
                    yield from page
            finally:
                pages.close()

    def _make(self, collection: str, table: str, size: int) -> None:
        from pymilvus import DataType, MilvusClient

        if self._client.has_collection(collection):
            return
        # Columns that a later version adds need no new collection.
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
        for field, length in _FIELDS[table].items():
            if length is None:
                schema.add_field(field, DataType.INT64)
            else:
                schema.add_field(field, DataType.VARCHAR, max_length=length)
        vector = _VECTOR.get(table, "vector")
        schema.add_field(vector, DataType.FLOAT_VECTOR, dim=size)
        indices = MilvusClient.prepare_index_params()
        indices.add_index(vector, index_type="FLAT", metric_type="IP")
        if table in _LOOKED_UP:
            indices.add_index(_LOOKED_UP[table], index_type="INVERTED")
        self._client.create_collection(collection, schema=schema, consistency_level="Strong")
        self._client.create_index(collection, indices, sync=False)  # nothing is in it yet, there is nothing to wait for
        self._client.load_collection(collection)

    def _told(self) -> AbstractContextManager[None]:
        return told(self.address)


def digest(text: str) -> str:
    """Hex SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _among(field: str, keys: Iterable[str]) -> str:
    chosen = list(keys)
    assert all(re.fullmatch(r"[0-9a-f]+", key) for key in chosen)
    return f"{field} in {json.dumps(chosen)}"


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, _BATCH)):
        yield some
