"""Rows of the table of faces: conversion to enrolled faces and back, their digest, and the arrays to search."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import NoneType
from typing import Any

import numpy as np

from onelook.face_quality import Quality, template_weights
from onelook.gallery.data import CONTROL_CHARACTERS, EnrolledFace

COLUMNS = "id, person, photo, sha256, score, size, sharpness, profile, thumbnail_sha256, embedding"
FaceRow = tuple[int, str, str, bytes, float | None, float | None, float | None, float | None, bytes | None, bytes]
"""A row of the table of faces, in the order of COLUMNS."""

DIGEST_MODULUS = 1 << 256
_BLOCK_SIZE = 4096
_TOLERANCE = 1e-3  # of the length of an embedding


class DamagedRowError(ValueError):
    """A row that no version of onelook writes."""


@dataclass(frozen=True, eq=False)
class FaceArrays:
    """The columns of n faces that a search needs, in the order of enrollment.

    Attributes:
        ids: n ids of the rows.
        people: n names.
        weights: (n,) float64, template weights.
        embeddings: (n, d) float32, L2-normalized.
        digests: n digests of the rows, see `row_digest`.
    """

    ids: list[int]
    people: list[str]
    weights: np.ndarray
    embeddings: np.ndarray
    digests: list[int]


def make_row(number: int, face: EnrolledFace, embedding: np.ndarray) -> FaceRow:
    """Return the row of a face with its embedding (d,) float32."""
    quality = face.quality
    values = (None,) * 4 if quality is None else (quality.score, quality.size, quality.sharpness, quality.profile)
    score, size, sharpness, profile = (None if value is None else value + 0.0 for value in values)  # SQLite has no -0.0
    thumbnail = None if face.thumbnail is None else thumbnail_sha256(face.thumbnail)
    vector = np.asarray(embedding, "<f4").tobytes()
    sha256 = bytes.fromhex(face.sha256)
    return number, face.person, face.photo, sha256, score, size, sharpness, profile, thumbnail, vector


def thumbnail_sha256(thumbnail: str) -> bytes:
    """Return the SHA-256 of a thumbnail, which its face's row contains."""
    return hashlib.sha256(thumbnail.encode()).digest()


def row_digest(row: FaceRow) -> int:
    """Return the SHA-256 of a row as a number, so that the sum of all is a digest that a change updates."""
    number, person, photo, sha256, score, size, sharpness, profile, thumbnail, embedding = row
    values = f"{number}\0{person}\0{photo}\0{score!r}\0{size!r}\0{sharpness!r}\0{profile!r}\0{thumbnail is None}\0"
    content = b"".join((values.encode(), sha256, thumbnail or b"", embedding))
    return int.from_bytes(hashlib.sha256(content).digest(), "big")


def parse_face(row: FaceRow, thumbnail: str | None) -> EnrolledFace:
    """Return the face of a row.

    Raises:
        DamagedRowError: the thumbnail is not that of the row.
        pydantic.ValidationError: a value is none of an enrolled face.
    """
    if (None if thumbnail is None else thumbnail_sha256(thumbnail)) != row[8]:
        raise DamagedRowError(f"the thumbnail of face {row[0]} is not the one that was written")
    return EnrolledFace(
        person=row[1], photo=row[2], sha256=row[3].hex(), quality=_parse_quality(row), thumbnail=thumbnail
    )


def _parse_quality(row: FaceRow) -> Quality | None:
    score, size, sharpness, profile = row[4:8]
    if score is None or size is None or sharpness is None:
        return None
    return Quality(score=score, size=size, sharpness=sharpness, profile=profile)


def parse_embeddings(vectors: list[bytes], size: int) -> np.ndarray:
    """Return the embeddings (n, size) float32 of n rows.

    Raises:
        DamagedRowError: one has another size, or is not of length 1.
    """
    if any(len(vector) != 4 * size for vector in vectors):
        raise DamagedRowError(f"an embedding does not have {size} dimensions")
    embeddings = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), size)
    if not have_unit_length(embeddings):
        raise DamagedRowError("an embedding is not of length 1")
    return embeddings


def have_unit_length(embeddings: np.ndarray) -> bool:
    """Return whether all embeddings (n, d) are finite and of length 1, without a warning about those that are not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=_TOLERANCE)


def parse_arrays(rows: Iterable[Any], size: int) -> FaceArrays:
    """Collect what a search needs from rows in the order of their ids, embeddings of `size` numbers.

    Raises:
        DamagedRowError: an embedding or a name is damaged.
        pydantic.ValidationError: the quality of a face is not valid.
    """
    ids: list[int] = []
    people: list[str] = []
    digests: list[int] = []
    weights, blocks = [np.empty(0)], [np.empty((0, size), np.float32)]
    for block in _in_blocks(iter(rows)):
        blocks.append(parse_embeddings([row[9] for row in block], size))
        weights.append(_parse_weights(block))
        if re.search(f"[{CONTROL_CHARACTERS}]", "".join(row[1] for row in block)):
            raise DamagedRowError("a name has control characters")
        for row in block:
            ids.append(row[0])
            people.append(row[1])
            digests.append(row_digest(row))
    return FaceArrays(ids, people, np.concatenate(weights), np.concatenate(blocks), digests)


def _parse_weights(rows: list[FaceRow]) -> np.ndarray:
    """Return the template weights (n,) float64 of rows, 1 of faces that were not measured.

    All rows are validated at once. One by one, 100,000 faces opened in 1.8 instead of 1.55 s.

    Raises:
        pydantic.ValidationError: the quality of a face is not valid.
    """
    qualities = [row[4:8] for row in rows]
    if {type(value) for quality in qualities for value in quality} <= {float, NoneType}:
        values = np.array(qualities, np.float64)  # NaN for null; SQLite has no other NaN
        is_absent = np.isnan(values)
        is_valid = is_absent | ((values >= 0) & np.isfinite(values))
        is_valid[:, 0] &= is_absent[:, 0] | (values[:, 0] <= 1)
        if is_valid.all():
            return np.where(is_absent[:, :3].any(axis=1), 1.0, template_weights(values[:, :3]))
    parsed = [_parse_quality(row) for row in rows]
    return np.array([1.0 if quality is None else quality.weight for quality in parsed])


def _in_blocks(rows: Iterator[FaceRow]) -> Iterator[list[FaceRow]]:
    while block := list(islice(rows, _BLOCK_SIZE)):
        yield block
