"""The Milvus collections of a gallery, and all calls of the Milvus client.

    onelook_NAME                   one record, the header: the gallery's metadata and its current version
    onelook_NAME_VERSION_people    a record per person: name, number of photos, template
    onelook_NAME_VERSION_photos    a record per photo: person id, enrolled face, enrollment number, embedding
    onelook_NAME_VERSION_changes   the journal of changes in progress, see `transactions`

Writing the header creates a gallery, or replaces its version, in one step. Names are never part of a filter
expression: people are identified by random ids and by the SHA-256 of their names.
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
from onelook.gallery.data import GalleryMetadata, StrictModel
from onelook.gallery.location import MilvusAddress
from onelook.gallery.milvus_backend.connection import connect, missing_gallery_message, translate_errors

FORMAT: Literal["onelook milvus gallery 1"] = "onelook milvus gallery 1"
COLLECTIONS = ("people", "photos", "changes")
_HEADER_KEY = "gallery"
# Scalar fields with the maximum length of a string; None: an integer.
_FIELDS: dict[str, dict[str, int | None]] = {
    "people": {"name": 1000, "name_key": 64, "photos": None},
    "photos": {"person": 64, "number": None, "entry": 65535},
    "changes": {"plan": 65535},
    "header": {"value": 65535},
}
_INDEXED_FIELD = {"people": "name_key", "photos": "person"}
_VECTOR_FIELD = {"people": "template", "photos": "embedding"}
_BATCH_SIZE = 500
# Milvus requires a vector field in every collection.
_DUMMY_VECTOR = [0.0, 0.0]


class _Header(StrictModel):
    format: Literal["onelook milvus gallery 1"]
    version: str = Field(pattern=r"^[0-9a-f]{8}$", alias="generation")
    metadata: GalleryMetadata = Field(alias="terms")


class Collections:
    """The collections of one gallery; an exception of Milvus is raised as a GalleryError."""

    def __init__(self, address: MilvusAddress, *, create: bool = False) -> None:
        """Connect to Milvus.

        Args:
            address: address of the gallery.
            create: create a milvus-lite database if it is missing.

        Raises:
            GalleryError: Milvus cannot be reached, or its packages are not installed.
        """
        self.address = address
        if address.is_embedded and not create and not Path(address.uri).exists():
            raise GalleryError(missing_gallery_message(address))
        self._client = connect(address)
        self._prefix = f"onelook_{address.name}"

    def read_header(self) -> tuple[str, GalleryMetadata] | None:
        """Read the current version and the metadata; return None if there is no gallery."""
        with self._translate_errors():
            if not self._client.has_collection(self._prefix):
                return None
            self._client.load_collection(self._prefix)
            condition = _is_one_of("id", [text_digest(_HEADER_KEY)])
            found = self._client.query(self._prefix, filter=condition, output_fields=["value"])
        if not found:
            return None
        try:
            header = _Header.model_validate_json(found[0]["value"])
        except ValidationError as error:
            raise GalleryError(
                f"{self.address}: its description is not one that this onelook reads; use the one that made it"
            ) from error
        return header.version, header.metadata

    def write_header(self, version: str, metadata: GalleryMetadata) -> None:
        """Make a version the current one, and drop all others."""
        header = _Header(format=FORMAT, version=version, metadata=metadata)
        with self._translate_errors():
            self._create(self._prefix, "header", 2)
            value = header.model_dump_json(by_alias=True)
            record = {"id": text_digest(_HEADER_KEY), "vector": _DUMMY_VECTOR, "value": value}
            self._client.upsert(self._prefix, [record])
        self.drop_other_versions(version)

    def create_version(self, embedding_size: int) -> str:
        """Create the empty collections of a new version, which is unused until `write_header` activates it."""
        version = secrets.token_hex(4)
        with self._translate_errors():
            for kind in COLLECTIONS:
                self._create(self._name(version, kind), kind, embedding_size if kind in _VECTOR_FIELD else 2)
        return version

    def copy_version(self, version: str, embedding_size: int) -> str:
        """Copy all records of a version into a new version."""
        new = self.create_version(embedding_size)
        for kind in COLLECTIONS:
            self.upsert(new, kind, self.scan(version, kind, ["*"]))
        return new

    def drop_other_versions(self, version: str) -> None:
        """Drop the collections of every version but one."""
        pattern = re.compile(rf"{self._prefix}_([0-9a-f]{{8}})_({'|'.join(COLLECTIONS)})")
        with self._translate_errors():
            for name in self._client.list_collections():
                match = pattern.fullmatch(name)
                if match and match[1] != version:
                    self._client.drop_collection(name)

    def load(self, version: str) -> None:
        """Load the collections for search; after a restart of Milvus they may not be loaded."""
        with self._translate_errors():
            for kind in COLLECTIONS:
                self._client.load_collection(self._name(version, kind))

    def count(self, version: str, kind: str) -> int:
        """Count the records of a collection."""
        with self._translate_errors():
            return self._client.query(self._name(version, kind), output_fields=["count(*)"])[0]["count(*)"]

    def find(
        self, version: str, kind: str, field: str, keys: Sequence[str], fields: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """Find the records whose hexadecimal field is one of the keys."""
        collection = self._name(version, kind)
        for batch in _batched(keys):
            condition = _is_one_of(field, batch)
            if field == "person":  # a person may have more photos than one query returns
                yield from self._iterate(collection, condition, fields)
            else:
                with self._translate_errors():
                    found = self._client.query(collection, filter=condition, output_fields=["id", *fields])
                yield from found

    def scan(self, version: str, kind: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Iterate over all records of a collection."""
        return self._iterate(self._name(version, kind), "", fields)

    def upsert(self, version: str, kind: str, records: Iterable[dict[str, Any]]) -> None:
        """Insert records, or replace those with the same id."""
        extra = {} if kind in _VECTOR_FIELD else {"vector": _DUMMY_VECTOR}
        for batch in _batched(records):
            with self._translate_errors():
                self._client.upsert(self._name(version, kind), [{**record, **extra} for record in batch])

    def delete(self, version: str, kind: str, field: str, keys: Sequence[str]) -> None:
        """Delete the records whose hexadecimal field is one of the keys."""
        for batch in _batched(keys):
            with self._translate_errors():
                self._client.delete(self._name(version, kind), filter=_is_one_of(field, batch))

    def search(self, version: str, probes: Iterable[Any], limit: int) -> list[list[dict[str, Any]]]:
        """Find the people with the most similar templates: per probe a list of id, name and template."""
        with self._translate_errors():
            found = self._client.search(
                self._name(version, "people"),
                data=list(probes),
                anns_field="template",
                limit=limit,
                output_fields=["name", "template"],
                search_params={"metric_type": "IP"},
            )
        return [[{"id": hit["id"], **hit["entity"]} for hit in hits] for hits in found]

    def compact(self, version: str) -> None:
        """Request that deleted records are removed from the disk."""
        with self._translate_errors():
            for kind in COLLECTIONS:
                self._client.flush(self._name(version, kind))
                self._client.compact(self._name(version, kind))

    def _name(self, version: str, kind: str) -> str:
        return f"{self._prefix}_{version}_{kind}"

    def _iterate(self, collection: str, condition: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        with self._translate_errors():
            pages = self._client.query_iterator(
                collection, batch_size=_BATCH_SIZE, filter=condition, output_fields=["id", *fields]
            )
            try:
                while page := pages.next():
                    yield from page
            finally:
                pages.close()

    def _create(self, collection: str, kind: str, dim: int) -> None:
        from pymilvus import DataType, MilvusClient

        if self._client.has_collection(collection):
            return
        # Dynamic fields: a later version can add a field without a new collection.
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
        schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
        for field, length in _FIELDS[kind].items():
            if length is None:
                schema.add_field(field, DataType.INT64)
            else:
                schema.add_field(field, DataType.VARCHAR, max_length=length)
        vector = _VECTOR_FIELD.get(kind, "vector")
        schema.add_field(vector, DataType.FLOAT_VECTOR, dim=dim)
        indices = MilvusClient.prepare_index_params()
        indices.add_index(vector, index_type="FLAT", metric_type="IP")
        if kind in _INDEXED_FIELD:
            indices.add_index(_INDEXED_FIELD[kind], index_type="INVERTED")
        self._client.create_collection(collection, schema=schema, consistency_level="Strong")
        self._client.create_index(collection, indices, sync=False)  # the collection is empty: nothing to wait for
        self._client.load_collection(collection)

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(self.address)


def text_digest(text: str) -> str:
    """Compute the hex SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _is_one_of(field: str, keys: Iterable[str]) -> str:
    values = list(keys)
    assert all(re.fullmatch(r"[0-9a-f]+", value) for value in values)
    return f"{field} in {json.dumps(values)}"


def _batched(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH_SIZE)):
        yield batch
