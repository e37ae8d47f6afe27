"""The formats in which data sets are packed: RecordIO, pickled verification pairs, WIDER's MATLAB files."""

import io
import pickle
import struct
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st
from scipy.io import savemat

from fuzz.formats import Format
from fuzz.mutations import damaged_bytes, damaged_lines
from onelook.data.readers.recordio import FILES, MAGIC, read_recordio
from onelook.data.readers.verification_bin import read_verification_bin
from onelook.evaluation.mat_cells import read_cells


@cache
def _crop() -> bytes:
    return cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()


def _records() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Damage the records or their index."""
    content, index = b"", ""
    for key in (1, 2):
        body = struct.pack("<IfQQ", 0, key - 1, key, 0) + _crop()
        index += f"{key}\t{len(content)}\n"
        content += struct.pack("<II", MAGIC, len(body)) + body + bytes(-len(body) % 4)
    return st.one_of(
        damaged_bytes([content]).map(lambda data: (data, index.encode())),
        damaged_lines([index]).map(lambda data: (content, data)),
    )


def _read_records(data: tuple[bytes, bytes], folder: Path) -> None:
    for name, content in zip(FILES, data, strict=True):
        (folder / name).write_bytes(content)
    for image in read_recordio(folder).images:
        image.read()


def _pairs() -> st.SearchStrategy[bytes]:
    pairs = ([_crop()] * 4, [True, False])
    return damaged_bytes([pickle.dumps(pairs, protocol) for protocol in (2, 4)])


def _read_pairs(data: bytes, folder: Path) -> None:
    (folder / "pairs.bin").write_bytes(data)
    read_verification_bin(folder / "pairs.bin").image(0)


def _cells() -> st.SearchStrategy[bytes]:
    def cell(*values: object) -> np.ndarray:
        array = np.empty((len(values), 1), object)
        array[:, 0] = values
        return array

    seeds = []
    for compressed in (False, True):
        stream = io.BytesIO()
        content = {"event_list": cell("e"), "file_list": cell(cell("p")), "gt_list": cell(cell(np.array([[1]])))}
        savemat(stream, content, do_compression=compressed)
        seeds.append(stream.getvalue())
    return damaged_bytes(seeds)


def _read_cells(data: bytes, folder: Path) -> None:
    (folder / "cells.mat").write_bytes(data)
    read_cells([(folder / "cells.mat", "gt_list")])


FORMATS: dict[str, Format] = {
    "RecordIO": Format(_records, _read_records),
    "verification pairs": Format(_pairs, _read_pairs),
    "WIDER .mat files": Format(_cells, _read_cells, 100),  # each starts a process
}
