"""The gallery folder on disk: checked when read, changed in one step by one process at a time.

    gallery.json            the terms, the counts, and the names of the other two files
    index.<sha256>.faiss    the enrolled embeddings, a flat inner-product FAISS index, one row per photo
    people.<sha256>.json    who each row is, and which photo it comes from

The two data files are named by their bytes and written first; replacing gallery.json last makes the change, so a
reader sees the whole old gallery or the whole new one, and so does the next start after a kill. Files that no
gallery.json names any more are removed at the end of a change, or at the start of the next one.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from onelook.errors import GalleryError
from onelook.files import replacing, replacing_folder, write_json
from onelook.settings import Detect
from onelook.unknown import Unknown

HEADER = "gallery.json"
FORMAT: Literal["onelook gallery 1"] = "onelook gallery 1"
# A change holds the lock for milliseconds: whoever waits this long waits for something that hangs.
LOCK_SECONDS = 60.0
# A data file, or the temporary file of any of the three that a kill left behind.
_OURS = re.compile(r"\.?(index|people)\.[0-9a-f]{64}\.|\.gallery\.json\.")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Terms(_Part):
    """What a gallery was made with, fixed for its life."""

    fingerprint: str = Field(min_length=1, description="of the model whose embeddings it holds")
    embedding_size: PositiveInt
    threshold: float = Field(description="lowest similarity at which a face gets a name, where nothing is `unknown`")
    target_fpir: float = Field(gt=0, lt=1, description="false-positive identification rate the threshold was set for")
    detect: Detect = Field(description="how photos are looked at; the threshold holds only for this")
    managed: bool = Field(description="true: the pipeline rebuilds it, so changes by hand would be lost")
    unknown: Unknown | None = Field(default=None, description="how the threshold follows the size; null: it does not")

    def threshold_for(self, people: int) -> float:
        """The lowest similarity at which a face gets a name, with so many people enrolled."""
        return self.threshold if self.unknown is None else self.unknown.threshold(self.target_fpir, people)


class Entry(_Part):
    """Who an enrolled row is and where it comes from."""

    person: str = Field(min_length=1)
    photo: str = Field(description="the photo's path as it was given")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the photo's bytes")


class _Header(_Part):
    format: Literal["onelook gallery 1"]
    terms: Terms
    people: NonNegativeInt
    faces: NonNegativeInt
    index_file: str = Field(pattern=r"^index\.[0-9a-f]{64}\.faiss$")
    people_file: str = Field(pattern=r"^people\.[0-9a-f]{64}\.json$")


class _People(_Part):
    rows: list[Entry]


@dataclass(frozen=True, eq=False)
class Contents:
    """All a gallery holds.

    Attributes:
        terms: what it was made with.
        entries: one per row, in the order of enrolment.
        embeddings: (n, terms.embedding_size) float32, L2-normalised rows; row i is entries[i].
    """

    terms: Terms
    entries: tuple[Entry, ...]
    embeddings: np.ndarray

    def people(self) -> dict[str, list[Entry]]:
        """The rows of every person, people sorted by name."""
        rows: dict[str, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.person):
            rows.setdefault(entry.person, []).append(entry)
        return rows

    def adding(self, entries: tuple[Entry, ...], embeddings: np.ndarray) -> "Contents":
        """With these rows added at the end."""
        return Contents(self.terms, self.entries + entries, np.concatenate([self.embeddings, embeddings]))

    def without(self, person: str) -> "Contents":
        """With every row of one person taken out.

        Raises:
            GalleryError: there is nobody of that name.
        """
        keep = np.asarray([entry.person != person for entry in self.entries], bool)
        if keep.all():
            raise GalleryError(f"{person}: nobody of that name is enrolled; `onelook gallery` lists who is")
        entries = tuple(entry for entry in self.entries if entry.person != person)
        return Contents(self.terms, entries, self.embeddings[keep])


def empty(terms: Terms) -> Contents:
    """A gallery with nobody in it."""
    return Contents(terms, (), np.empty((0, terms.embedding_size), np.float32))


def is_gallery(folder: Path) -> bool:
    """Whether anything is there that must be read, or refused, as a gallery."""
    return folder.is_dir() and any(folder.iterdir())


def read(folder: Path) -> Contents:
    """Read a gallery folder and check every byte of it. Needs no lock, and no permission to write.

    Raises:
        GalleryError: it is missing, damaged, inconsistent or of an unknown format.
    """
    header_path = folder / HEADER
    while True:
        header_bytes = _read_bytes(folder, HEADER)
        try:
            return _load(folder, _parse_header(header_path, header_bytes))
        except FileNotFoundError as error:
            # A change that ended since gallery.json was read has taken the old files away: read the new ones.
            if _read_bytes(folder, HEADER) == header_bytes:
                raise GalleryError(f"{error.filename}: missing, the gallery is damaged; {_MEND}") from error


def create(folder: Path, contents: Contents, *, replace: bool = False) -> None:
    """Write a new gallery folder, in one step; with `replace`, in the place of a gallery that is there.

    Raises:
        GalleryError: the folder holds something already, or cannot be written.
    """
    with _locked(folder) as real:
        if replace and (real / HEADER).is_file():
            _write(real, contents)
            _sweep(real)
        else:
            _create_locked(real, contents)


def change(folder: Path, edit: Callable[[Contents], Contents], *, start: Terms | None = None) -> Contents:
    """Replace what a gallery holds by `edit` of what it holds now, in one step, while no other process changes it.

    Args:
        folder: the gallery.
        edit: makes the new contents out of the present ones; what it raises leaves the gallery as it is.
        start: the terms of a new gallery, begun where there is none; None: there must be one.

    Returns:
        The new contents.

    Raises:
        GalleryError: the gallery cannot be read or written, or is one that the pipeline rebuilds.
        OnelookError: a full disk.
    """
    if start is None and not folder.is_dir():
        raise GalleryError(f"{folder}: {_ABSENT}")
    with _locked(folder) as real:
        if start is not None and not is_gallery(real):
            created = edit(empty(start))
            _create_locked(real, created)
            return created
        current = read(real)
        if current.terms.managed:
            raise GalleryError(
                f"{folder}: the pipeline rebuilds this gallery, changes by hand would be lost; "
                "use a folder of your own (--gallery)"
            )
        _sweep(real)
        changed = edit(current)
        _write(real, changed)
        _sweep(real)
        return changed


_ABSENT = "no such gallery; `onelook enroll NAME PHOTO` starts one"
_MEND = "restore the folder from a copy, or move it away and enrol again (`dvc repro index` for the pipeline's)"


def _read_bytes(folder: Path, name: str) -> bytes:
    if not folder.is_dir():
        raise GalleryError(f"{folder}: {_ABSENT}")
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise GalleryError(f"{folder / name}: missing, so {folder} is no gallery or a damaged one; {_MEND}") from error
    except OSError as error:
        raise GalleryError(f"{folder / name}: cannot be read ({error.strerror or error})") from error


def _parse_header(path: Path, data: bytes) -> _Header:
    try:
        version = json.loads(data)["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise GalleryError(f"{path}: damaged, not a gallery's description; {_MEND}") from error
    if version != FORMAT:
        raise GalleryError(
            f"{path}: its format is {version!r}, this onelook reads {FORMAT!r}; use the one that made it"
        )
    try:
        return _Header.model_validate_json(data)
    except ValidationError as error:
        raise GalleryError(f"{path}: damaged ({_first(error)}); {_MEND}") from error


def _load(folder: Path, header: _Header) -> Contents:
    terms = header.terms
    embeddings = _rows(folder / header.index_file, _checked(folder, header.index_file), terms.embedding_size)
    people_path = folder / header.people_file
    try:
        people = _People.model_validate_json(_checked(folder, header.people_file))
    except ValidationError as error:
        raise GalleryError(f"{people_path}: damaged ({_first(error)}); {_MEND}") from error
    contents = Contents(terms, tuple(people.rows), embeddings)
    counts = (len(contents.entries), len(embeddings), len(contents.people()))
    if counts != (header.faces, header.faces, header.people):
        raise GalleryError(
            f"{folder}: inconsistent: {header.people} people and {header.faces} faces by {HEADER}, {counts[2]} people "
            f"and {counts[0]} faces by name, {counts[1]} faces in the index; {_MEND}"
        )
    return contents


def _checked(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error
    if hashlib.sha256(data).hexdigest() != name.split(".")[1]:
        raise GalleryError(f"{path}: damaged, its bytes are not those that were written; {_MEND}")
    return data


def _rows(path: Path, data: bytes, size: int) -> np.ndarray:
    try:
        loaded = faiss.deserialize_index(np.frombuffer(data, np.uint8))
    except RuntimeError as error:
        raise GalleryError(f"{path}: not a FAISS index; {_MEND}") from error
    index = faiss.downcast_index(loaded)  # a view: `loaded` owns the memory
    flat = isinstance(index, faiss.IndexFlat)
    if not flat or index.metric_type != faiss.METRIC_INNER_PRODUCT or index.d != size:
        raise GalleryError(f"{path}: not a flat inner-product index of {size} dimensions; {_MEND}")
    rows = index.reconstruct_n(0, index.ntotal)
    if not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise GalleryError(f"{path}: holds a row that is not of length 1; {_MEND}")
    return rows


def _write(folder: Path, contents: Contents) -> None:
    index = faiss.IndexFlatIP(contents.terms.embedding_size)
    index.add(np.ascontiguousarray(contents.embeddings, np.float32))
    rows = {"rows": [entry.model_dump() for entry in contents.entries]}
    header = _Header(
        format=FORMAT,
        terms=contents.terms,
        people=len(contents.people()),
        faces=len(contents.entries),
        index_file=_put(folder, "index", "faiss", faiss.serialize_index(index).tobytes()),
        people_file=_put(folder, "people", "json", json.dumps(rows, indent=1, ensure_ascii=False).encode()),
    )
    write_json(folder / HEADER, header.model_dump())


def _put(folder: Path, kind: str, suffix: str, data: bytes) -> str:
    name = f"{kind}.{hashlib.sha256(data).hexdigest()}.{suffix}"
    with replacing(folder / name) as temporary:
        temporary.write_bytes(data)
    return name


def _create_locked(folder: Path, contents: Contents) -> None:
    for abandoned in folder.parent.iterdir():
        if abandoned.name.startswith(f".{folder.name}.new-"):
            shutil.rmtree(abandoned, ignore_errors=True)
    if folder.exists() and not folder.is_dir():
        raise GalleryError(f"{folder}: is a file, a gallery is a folder; name another")
    if is_gallery(folder):
        raise GalleryError(f"{folder}: already holds something; name a folder that does not exist yet")
    with replacing_folder(folder) as new:
        _write(new, contents)


def _sweep(folder: Path) -> None:
    """Remove what earlier changes, or changes cut off by a kill, left behind: no trace of the forgotten stays."""
    header = _parse_header(folder / HEADER, _read_bytes(folder, HEADER))
    for path in folder.iterdir():
        if _OURS.match(path.name) and path.name not in (header.index_file, header.people_file):
            path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    # The lock lies beside the folder, not in it: the folder itself is put in place in one step and is a DVC output.
    real = folder.resolve()
    lock = real.parent / f".{real.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield real
    except Timeout as error:
        raise GalleryError(
            f"{folder}: another process has been changing it for {LOCK_SECONDS:.0f} s; try again when it has ended"
        ) from error
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be changed ({error.strerror or error})") from error


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
