"""A gallery as the bytes of three files, and back with every byte checked.

    gallery.json            the terms, the counts, the names of the other two files, and a checksum of all that
    index.<sha256>.faiss    the enrolled embeddings, a flat inner-product FAISS index, one row per photo
people.<sha256>.json    who each row is, which photo it comes from, how good that photo is, and a thumbnail of it

The two data files are named by their bytes.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from pydantic import Field, NonNegativeInt, ValidationError

from onelook.errors import GalleryError
from onelook.gallery.data import Entry, GalleryData, GalleryMetadata, Part

HEADER = "gallery.json"
FORMAT = "onelook gallery 3"
# They are read, and the next change writes FORMAT. The first had no quality of the photos and no checksum in
# gallery.json, both had no thumbnails.
_FIRST_FORMAT = "onelook gallery 1"
_SECOND_FORMAT = "onelook gallery 2"
MEND = (
    "restore it from a backup (`onelook restore`), or move it away and enroll again (`dvc repro index` the pipeline's)"
)


class Header(Part):
    """What gallery.json says."""

    format: Literal["onelook gallery 1", "onelook gallery 2", "onelook gallery 3"]
    terms: GalleryMetadata
    people: NonNegativeInt
    faces: NonNegativeInt
    index_file: str = Field(pattern=r"^index\.[0-9a-f]{64}\.faiss$")
    people_file: str = Field(pattern=r"^people\.[0-9a-f]{64}\.json$")
    checksum: str = Field(description="see `checksum`")


class _People(Part):
    rows: list[Entry]


def pack(contents: GalleryData) -> dict[str, bytes]:
    """The files by name, gallery.json last; same contents, same bytes."""
    index = faiss.IndexFlatIP(contents.terms.embedding_size)
    index.add(np.ascontiguousarray(contents.embeddings, np.float32))
    rows = {"rows": [entry.model_dump() for entry in contents.entries]}
    index_data = faiss.serialize_index(index).tobytes()
    people_data = json.dumps(rows, indent=1, ensure_ascii=False).encode()
    index_file = f"index.{hashlib.sha256(index_data).hexdigest()}.faiss"
    people_file = f"people.{hashlib.sha256(people_data).hexdigest()}.json"
    tree = {
        "format": FORMAT,
        "terms": contents.terms.model_dump(),
        "people": len(contents.people()),
        "faces": len(contents.entries),
        "index_file": index_file,
        "people_file": people_file,
    }
    tree["checksum"] = checksum(tree)
    header = json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    return {index_file: index_data, people_file: people_data, HEADER: header.encode()}


def checksum(tree: dict[str, Any]) -> str:
    """Hex SHA-256 of what gallery.json says, apart from the checksum itself."""
    said = {key: value for key, value in tree.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def parse_header(path: Path, data: bytes) -> Header:
    """What gallery.json says; `path` is where it stands.

    Raises:
        GalleryError: it is damaged, or of an unknown format.
    """
    try:
        tree = json.loads(data)
        version = tree["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise GalleryError(f"{path}: damaged, not a gallery's description; {MEND}") from error
    if version == _FIRST_FORMAT:
        tree.setdefault("checksum", checksum(tree))
    elif version not in (_SECOND_FORMAT, FORMAT):
        raise GalleryError(
            f"{path}: its format is {version!r}, this onelook reads {FORMAT!r}; use the one that made it"
        )
    try:
        header = Header.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise GalleryError(f"{path}: damaged ({_first(error)}); {MEND}") from error
    if header.checksum != checksum(tree):
        raise GalleryError(f"{path}: damaged, it does not say what was written; {MEND}")
    return header


def unpack(folder: Path, header: Header, fetch: Callable[[str], bytes]) -> GalleryData:
    """The contents that a header describes.

    Args:
        folder: where the files stand, for messages.
        header: what gallery.json says.
        fetch: gives the bytes of a file by its name; what it raises is passed on.

    Raises:
        GalleryError: a file is damaged, or they do not agree with each other.
    """
    index_path, people_path = folder / header.index_file, folder / header.people_file
    embeddings = _rows(index_path, _checked(index_path, fetch), header.terms.embedding_size)
    try:
        people = _People.model_validate_json(_checked(people_path, fetch))
    except ValidationError as error:
        raise GalleryError(f"{people_path}: damaged ({_first(error)}); {MEND}") from error
    contents = GalleryData(header.terms, tuple(people.rows), embeddings)
    counts = (len(contents.entries), len(embeddings), len(contents.people()))
    if counts != (header.faces, header.faces, header.people):
        raise GalleryError(
            f"{folder}: inconsistent: {header.people} people and {header.faces} faces by {HEADER}, {counts[2]} people "
            f"and {counts[0]} faces by name, {counts[1]} faces in the index; {MEND}"
        )
    return contents


def _checked(path: Path, fetch: Callable[[str], bytes]) -> bytes:
    data = fetch(path.name)
    if hashlib.sha256(data).hexdigest() != path.name.split(".")[1]:
        raise GalleryError(f"{path}: damaged, its bytes are not those that were written; {MEND}")
    return data


def _rows(path: Path, data: bytes, size: int) -> np.ndarray:
    try:
        loaded = faiss.deserialize_index(np.frombuffer(data, np.uint8))
    except RuntimeError as error:
        raise GalleryError(f"{path}: not a FAISS index; {MEND}") from error
    index = faiss.downcast_index(loaded)  # a view: `loaded` owns the memory
    flat = isinstance(index, faiss.IndexFlat)
    if not flat or index.metric_type != faiss.METRIC_INNER_PRODUCT or index.d != size:
        raise GalleryError(f"{path}: not a flat inner-product index of {size} dimensions; {MEND}")
    rows = index.reconstruct_n(0, index.ntotal)
    if not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise GalleryError(f"{path}: holds a row that is not of length 1; {MEND}")
    return rows


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
