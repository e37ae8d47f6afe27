"""Galleries of an earlier format and backups whose content is damaged and whose checksums are right."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fuzz.formats import Format
from fuzz.gallery_data import FINGERPRINT, make_gallery_data
from fuzz.mutations import damaged_bytes, damaged_tree, dump
from helpers.coded_faces import CodedPredictor, make_embedding
from onelook.gallery.backend_factory import open_backend
from onelook.gallery.backup import read_backup
from onelook.gallery.file_format import HEADER_FILE, checksum, serialize
from onelook.gallery.gallery import Gallery

Files = dict[str, bytes]


@st.composite
def _crafted_files(draw: st.DrawFn) -> Files:
    """Draw the files of a gallery, of which one is damaged."""
    files = serialize(make_gallery_data())
    header = json.loads(files[HEADER_FILE])
    index, people = files[header["index_file"]], json.loads(files[header["people_file"]])
    match draw(st.sampled_from(("header", "people", "people", "index"))):
        case "header":
            return _name_files(draw(damaged_tree([header])), index, dump(people))
        case "people":
            return _name_files(header, index, dump(draw(damaged_tree([people]))))
        case _:
            return _name_files(header, draw(damaged_bytes([index])), dump(people))


def _name_files(header: Any, index: bytes, people: bytes) -> Files:
    """Return the files of a gallery, with right names and checksums where a damaged header has a place for them."""
    files = {}
    for key, ending, content in (("index", "faiss", index), ("people", "json", people)):
        name = f"{key}.{hashlib.sha256(content).hexdigest()}.{ending}"
        files[name] = content
        if isinstance(header, dict) and isinstance(header.get(f"{key}_file"), str) and len(header[f"{key}_file"]) > 60:
            header[f"{key}_file"] = name
    if isinstance(header, dict):
        header["checksum"] = checksum(header)
    return files | {HEADER_FILE: dump(header)}


def _open_gallery(files: Files, folder: Path) -> None:
    """Open a gallery, which is then upgraded by a change."""
    gallery = folder / "earlier"
    gallery.mkdir(exist_ok=True)
    for path in gallery.iterdir():
        path.unlink()
    for name, content in files.items():
        (gallery / name).write_bytes(content)
    opened = Gallery(open_backend(gallery), CodedPredictor(FINGERPRINT))
    people = opened.people()
    opened.identify_embeddings(np.asarray([make_embedding(1)], np.float32))
    if people:
        opened.forget(sorted(people)[0])


def _read_backup(files: Files, folder: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    (folder / "crafted.zip").write_bytes(stream.getvalue())
    read_backup(folder / "crafted.zip")


FORMATS: dict[str, Format] = {
    "earlier galleries, right checksums": Format(_crafted_files, _open_gallery),
    "backups, right checksums": Format(_crafted_files, _read_backup),
}
