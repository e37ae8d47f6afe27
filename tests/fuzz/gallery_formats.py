"""The formats of galleries and results, through the functions that open, check and restore them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import strategies as st

from fuzz import crafted_galleries
from fuzz.formats import Format
from fuzz.gallery_data import FINGERPRINT, make_gallery_data
from fuzz.mutations import damaged_bytes, damaged_tree, dump
from helpers.coded_faces import SIZE, CodedPredictor, make_embedding
from onelook.gallery.backend_factory import open_backend, write_gallery
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.gallery import Gallery
from onelook.media.embeddings_file import FILE_NAME as EMBEDDINGS_NAME
from onelook.media.embeddings_file import EmbeddingsFile, read_embeddings
from onelook.media.journal import FILE_NAME as JOURNAL_NAME
from onelook.media.journal import Journal, read_records
from onelook.media.results_table import write_results_table


@cache
def _gallery_files() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        write_gallery(Path(folder, "gallery"), make_gallery_data())
        return {path.name: path.read_bytes() for path in sorted(Path(folder, "gallery").iterdir()) if path.is_file()}


def _galleries() -> st.SearchStrategy[tuple[str, bytes]]:
    files = _gallery_files()
    return st.one_of([st.tuples(st.just(name), damaged_bytes([data])) for name, data in files.items() if data])


def _open_gallery(data: tuple[str, bytes], folder: Path) -> None:
    gallery = folder / "gallery"
    gallery.mkdir(exist_ok=True)
    for path in gallery.iterdir():
        path.unlink()
    for name, content in {**_gallery_files(), data[0]: data[1]}.items():
        (gallery / name).write_bytes(content)
    opened = Gallery(open_backend(gallery), CodedPredictor(FINGERPRINT))
    opened.people()
    opened.identify_embeddings(np.asarray([make_embedding(1)], np.float32))


@cache
def _backup() -> bytes:
    with TemporaryDirectory() as folder:
        write_backup(Path(folder, "backup.zip"), make_gallery_data())
        return Path(folder, "backup.zip").read_bytes()


def _read_backup(data: bytes, folder: Path) -> None:
    (folder / "backup.zip").write_bytes(data)
    read_backup(folder / "backup.zip")


_DETECTED = {"box": [1, 2, 30, 40], "score": 0.9, "size": 30.0, "sharpness": 0.5, "profile": 0.1}
_NOBODY = {"name": None, "similarity": 0.1, "nearest": "Ann", "margin": None, "confidence": None, "reason": None}
_FILE = {"bytes": 10, "mtime_ns": 20, "picture": None, "error": None}
_RECORDS = (
    {"what": "photo", "source": "a.jpg", **_FILE, "faces": [{**_DETECTED, **_NOBODY, "row": 0}], "more": False},
    {"what": "frame", "source": "v.mp4", "more": True, "frame": 0, "time": 0.0, "faces": [{**_DETECTED, "track": 0}]},
    {
        **{"what": "track", "source": "v.mp4", "more": True, "track": 0, "faces": 1, "row": 1},
        **{**_NOBODY, "best": {"frame": 0, **_DETECTED, "others": [[1, 2, 3, 4]]}},
    },
    {"what": "video", "source": "v.mp4", **_FILE, "frames": 1, "tracks": 1, "more": False},
)


def _journals() -> st.SearchStrategy[bytes]:
    lines = [dump(record) + b"\n" for record in _RECORDS]
    whole = b"".join(lines)
    one = st.integers(0, len(lines) - 1).flatmap(
        lambda number: damaged_tree([_RECORDS[number]]).map(
            lambda tree: b"".join([*lines[:number], dump(tree) + b"\n", *lines[number + 1 :]])
        )
    )
    return one | damaged_bytes([whole])


def _read_results(data: bytes, folder: Path) -> None:
    """Read a journal as a table is written from it, and as the next run continues it."""
    (folder / JOURNAL_NAME).write_bytes(data)
    write_results_table(folder / "faces.csv", read_records(folder))
    (folder / EMBEDDINGS_NAME).unlink(missing_ok=True)
    with Journal(folder, SIZE, FINGERPRINT):
        pass


@cache
def _embeddings() -> bytes:
    with TemporaryDirectory() as folder:
        file = EmbeddingsFile(Path(folder, "e"), SIZE, FINGERPRINT, 0)
        file.append(make_embedding(1))
        file.close()
        return Path(folder, "e").read_bytes()


def _read_embeddings(data: bytes, folder: Path) -> None:
    (folder / EMBEDDINGS_NAME).write_bytes(data)
    read_embeddings(folder, FINGERPRINT)


FORMATS: dict[str, Format] = {
    "galleries": Format(_galleries, _open_gallery),
    "backups": Format(lambda: damaged_bytes([_backup()]), _read_backup),
    **crafted_galleries.FORMATS,
    "results of identify-all": Format(_journals, _read_results),
    "embeddings of results": Format(lambda: damaged_bytes([_embeddings()]), _read_embeddings),
}
