"""Serialize a gallery to three files, and deserialize them with every checksum verified.

Backups contain these files, and so do the folders of galleries that a version before format 7 wrote.

    gallery.json            metadata, counts, names of the other two files, the record of who was forgotten, and a
                            checksum of all that
    index.<sha256>.faiss    the embeddings: a flat inner-product FAISS index, one row per enrolled face
    people.<sha256>.json    per row the person, the photo, its quality and a thumbnail; the rejections

The two data files are named by the SHA-256 of their content.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import FailFast, Field, NonNegativeInt, ValidationError

from onelook.errors import GalleryError
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata, Rejection, StrictModel
from onelook.gallery.database import REPAIR_HINT
from onelook.gallery.face_rows import have_unit_length
from onelook.gallery.faiss_library import faiss
from onelook.gallery.forgetting import Forgetting
from onelook.untrusted import first_problem, parse_json_object, printable

HEADER_FILE = "gallery.json"
FORMAT = "onelook gallery 4"
FORMAT_WITH_REJECTIONS = "onelook gallery 5"
"""FORMAT with rejections. A gallery without them has FORMAT, so that earlier versions still read it."""
FORMAT_WITH_FORGOTTEN = "onelook gallery 6"
"""FORMAT with a record of people who were forgotten, with or without rejections."""
# Older formats are read, and the next change writes FORMAT. Format 1 has no quality and no checksum in gallery.json;
# formats 1 and 2 have no thumbnails; formats 1 to 3 have no profile and no open-set model.
_FORMAT_1 = "onelook gallery 1"
_FORMAT_2 = "onelook gallery 2"
_FORMAT_3 = "onelook gallery 3"
# Start of a flat inner-product index of FAISS (`write_index_header` of its impl/index_write.cpp): kind, dimension,
# rows, two unused numbers, whether it is trained, metric, and the count of the numbers that follow.
_INDEX_HEADER = struct.Struct("<4siqqq?iQ")
_INDEX_KIND, _UNUSED, _INNER_PRODUCT = b"IxFI", 1 << 20, 0


class Header(StrictModel):
    """The content of gallery.json."""

    format: Literal[
        "onelook gallery 1",
        "onelook gallery 2",
        "onelook gallery 3",
        "onelook gallery 4",
        "onelook gallery 5",
        "onelook gallery 6",
    ]
    metadata: GalleryMetadata = Field(alias="terms")
    people: NonNegativeInt
    faces: NonNegativeInt
    index_file: str = Field(pattern=r"^index\.[0-9a-f]{64}\.faiss$")
    people_file: str = Field(pattern=r"^people\.[0-9a-f]{64}\.json$")
    forgotten: Annotated[tuple[Forgetting, ...], FailFast()] = ()
    checksum: str = Field(description="see `checksum`")


class _PeopleFile(StrictModel):
    # The first wrong row ends the parsing: the errors of millions of rows would take gigabytes.
    faces: Annotated[list[EnrolledFace], FailFast()] = Field(alias="rows")
    rejections: Annotated[tuple[Rejection, ...], FailFast()] = ()


def serialize(data: GalleryData) -> dict[str, bytes]:
    """Serialize gallery data to its files by name, gallery.json last; equal data gives equal bytes."""
    index = faiss.IndexFlatIP(data.metadata.embedding_size)
    index.add(np.ascontiguousarray(data.embeddings, np.float32))
    index_bytes = faiss.serialize_index(index).tobytes()
    people: dict[str, Any] = {"rows": [face.model_dump(by_alias=True) for face in data.faces]}
    if data.rejections:
        people["rejections"] = [rejection.model_dump() for rejection in data.rejections]
    people_bytes = json.dumps(people, indent=1, ensure_ascii=False).encode()
    index_file = f"index.{hashlib.sha256(index_bytes).hexdigest()}.faiss"
    people_file = f"people.{hashlib.sha256(people_bytes).hexdigest()}.json"
    header: dict[str, Any] = {
        "format": _format_of(data),
        "terms": data.metadata.model_dump(by_alias=True),
        "people": len(set(data.identities)),
        "faces": len(data.faces),
        "index_file": index_file,
        "people_file": people_file,
    }
    if data.forgotten:
        header["forgotten"] = [entry.model_dump() for entry in data.forgotten]
    header["checksum"] = checksum(header)
    text = json.dumps(header, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    return {index_file: index_bytes, people_file: people_bytes, HEADER_FILE: text.encode()}


def checksum(header: dict[str, Any]) -> str:
    """Compute the hex SHA-256 of the content of gallery.json without its checksum."""
    content = {key: value for key, value in header.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def parse_header(path: Path, content: bytes) -> Header:
    """Parse gallery.json, located at `path`, and verify its checksum.

    Raises:
        GalleryError: it is damaged, or of an unknown format.
    """
    try:
        tree = parse_json_object(content)
        version = tree["format"]
    except (ValueError, KeyError) as error:
        raise GalleryError(f"{path}: damaged, not a gallery's description; {REPAIR_HINT}") from error
    if version == _FORMAT_1:
        tree.setdefault("checksum", checksum(tree))
    elif version not in (_FORMAT_2, _FORMAT_3, FORMAT, FORMAT_WITH_REJECTIONS, FORMAT_WITH_FORGOTTEN):
        raise GalleryError(
            f"{path}: its format is {printable(str(version))!r}, this onelook reads {FORMAT_WITH_FORGOTTEN!r}; "
            "use the one that made it"
        )
    try:
        header = Header.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise GalleryError(f"{path}: damaged ({first_problem(error)}); {REPAIR_HINT}") from error
    if header.checksum != checksum(tree):
        raise GalleryError(f"{path}: damaged, its checksum does not match; {REPAIR_HINT}")
    return header


def deserialize(folder: Path, header: Header, read_file: Callable[[str], bytes]) -> GalleryData:
    """Deserialize the data files of a header and check them against it.

    Args:
        folder: folder of the files, for error messages.
        header: the parsed gallery.json.
        read_file: returns the content of a file by its name; its exceptions are passed on.

    Raises:
        GalleryError: a file is damaged, or the files are inconsistent.
    """
    index_path, people_path = folder / header.index_file, folder / header.people_file
    index_bytes = _read_verified(index_path, read_file)
    embeddings = _parse_index(index_path, index_bytes, header.metadata.embedding_size)
    try:
        people = _PeopleFile.model_validate_json(_read_verified(people_path, read_file))
    except ValidationError as error:
        raise GalleryError(f"{people_path}: damaged ({first_problem(error)}); {REPAIR_HINT}") from error
    if any(rejection.vector.shape != (header.metadata.embedding_size,) for rejection in people.rejections):
        raise GalleryError(f"{people_path}: damaged, it has a rejection without an embedding; {REPAIR_HINT}")
    data = GalleryData(header.metadata, tuple(people.faces), embeddings, people.rejections, header.forgotten)
    counts = (len(data.faces), len(embeddings), len(set(data.identities)))
    if counts != (header.faces, header.faces, header.people):
        raise GalleryError(
            f"{folder}: inconsistent: {header.people} people and {header.faces} faces by {HEADER_FILE}, {counts[2]} "
            f"people and {counts[0]} faces by name, {counts[1]} faces in the index; {REPAIR_HINT}"
        )
    return data


def _format_of(data: GalleryData) -> str:
    if data.forgotten:
        return FORMAT_WITH_FORGOTTEN
    return FORMAT_WITH_REJECTIONS if data.rejections else FORMAT


def _read_verified(path: Path, read_file: Callable[[str], bytes]) -> bytes:
    """Read a data file and compare its SHA-256 with the one in its name."""
    content = read_file(path.name)
    if hashlib.sha256(content).hexdigest() != path.name.split(".")[1]:
        raise GalleryError(f"{path}: damaged, its bytes are not those that were written; {REPAIR_HINT}")
    return content


def _parse_index(path: Path, content: bytes, size: int) -> np.ndarray:
    """Read the embeddings (n, size) float32 out of a serialized flat inner-product index.

    FAISS is not asked, because it reserves the memory that a header states, and reads any other kind of index.
    """
    head, rows = content[: _INDEX_HEADER.size], content[_INDEX_HEADER.size :]
    count, rest = divmod(len(rows), 4 * size)
    expected = (_INDEX_KIND, size, count, _UNUSED, _UNUSED, True, _INNER_PRODUCT, count * size)
    if rest or len(head) < _INDEX_HEADER.size or _INDEX_HEADER.unpack(head) != expected:
        raise GalleryError(f"{path}: not a flat inner-product index of {size} dimensions; {REPAIR_HINT}")
    embeddings = np.frombuffer(rows, "<f4").reshape(count, size).astype(np.float32)
    if not have_unit_length(embeddings):
        raise GalleryError(f"{path}: holds an embedding that is not of length 1; {REPAIR_HINT}")
    return embeddings
