"""The files from which a command continues, or finds what an earlier one wrote."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fuzz.formats import Format
from fuzz.gallery_data import FINGERPRINT, make_gallery_data
from fuzz.mutations import damaged_bytes, damaged_json, damaged_tree, dump
from helpers.coded_faces import CodedPredictor
from onelook.data.face_collection import FaceSource, collect_faces
from onelook.data.readers.face_crops import COLUMNS, UNTURNED
from onelook.data.synthesis.turn_sampling import TurnOptions
from onelook.data.synthesis.turned_faces import write_turned_faces
from onelook.erasure.remainders import find_leftovers, find_remainders
from onelook.gallery.backend_factory import open_backend, write_gallery
from onelook.gallery.gallery import Gallery
from onelook.media.identify_all import RUN_FILE_NAME, identify_all


def _open_gallery(folder: Path) -> Gallery:
    if not folder.exists():
        write_gallery(folder, make_gallery_data())
    return Gallery(open_backend(folder), CodedPredictor(FINGERPRINT))


@cache
def _run_options() -> Any:
    with TemporaryDirectory() as folder:
        identify_all(_open_gallery(Path(folder, "gallery")), [], Path(folder, "out"))
        return json.loads(Path(folder, "out", RUN_FILE_NAME).read_bytes())


def _continue_run(data: bytes, folder: Path) -> None:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    (out / RUN_FILE_NAME).write_bytes(data)
    identify_all(_open_gallery(folder / "gallery"), [], out)


def _damaged_rows(rows: list[Any]) -> st.SearchStrategy[bytes]:
    """Draw JSON lines of which one is odd, or no JSON any more."""
    lines = [dump(row) + b"\n" for row in rows]
    one = st.integers(0, len(lines) - 1).flatmap(
        lambda number: damaged_tree([rows[number]]).map(
            lambda tree: b"".join([*lines[:number], dump(tree) + b"\n", *lines[number + 1 :]])
        )
    )
    return one | damaged_bytes([b"".join(lines)])


_COPIES = [{"kind": "backup", "path": "/absent/backup.zip"}, {"kind": "export", "path": "/absent/export"}]


def _read_copies(data: bytes, folder: Path) -> None:
    (folder / ".gallery.copies.jsonl").write_bytes(data)
    _open_gallery(folder / "gallery")
    with contextlib.chdir(folder):
        list(find_remainders(folder / "gallery", "Ann"))
        find_leftovers(folder / "gallery")


_VALUES = [1.0, 2.0, 30.0, 40.0, 10.0, 15.0, 20.0, 15.0, 15.0, 20.0, 11.0, 30.0, 19.0, 30.0]
_COLLECTED = [
    {"file": "a.jpg", "outcome": "taken", "crop": "000000.jpg", "labels": _VALUES},
    {"file": "b.jpg", "outcome": "no_face"},
]


def _collect(data: bytes, folder: Path) -> None:
    """Continue a collection; the photos that it does not know are damaged ones."""
    for path in ("photos/a.jpg", "photos/b.jpg", "sets/own/journal.jsonl"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data if path.endswith("jsonl") else b"")
    source = FaceSource("own", folder / "photos", "*.jpg", "terms")
    collect_faces(source, folder / "sets", _never, _never, np.zeros((0, 4), np.float32))


_OPTIONS = TurnOptions(count=1, min_yaw=20, max_yaw=80, seed=4)
_TURNED = [
    asdict(_OPTIONS),
    {UNTURNED: "own/a.jpg", "faces": [["own/a.jpg_0.jpg", *_VALUES]]},
    {UNTURNED: "own/b.jpg", "faces": []},
]


def _turn(data: bytes, folder: Path) -> None:
    """Continue a set of turned faces; a crop that it does not know is damaged."""
    for path in ("own/faces.csv", "own/images/a.jpg", "turned/journal.jsonl"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / "own/faces.csv").write_text(",".join(COLUMNS) + "\n" + f"a.jpg,{','.join(map(str, _VALUES))}\n")
    (folder / "own/images/a.jpg").write_bytes(b"")
    (folder / "turned/journal.jsonl").write_bytes(data)
    write_turned_faces([folder / "own"], folder / "turned", _never, _never, _OPTIONS)


def _never(*_: object) -> Any:
    raise AssertionError("a damaged photo has no faces")


def _rows(rows: list[Any]) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: _damaged_rows(rows)


FORMATS: dict[str, Format] = {
    "options of identify-all": Format(lambda: damaged_json([_run_options()]), _continue_run),
    "records of copies": Format(_rows(_COPIES), _read_copies),
    "collections of faces": Format(_rows(_COLLECTED), _collect),
    "turned faces": Format(_rows(_TURNED), _turn),
}
