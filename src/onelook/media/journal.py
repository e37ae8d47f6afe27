"""Append-only journal of an identification run, one JSON record per line.

The journal also states which files are done. Records are written in transactions: a batch of photos, or a whole video.
Every record of a transaction but the last has `"more": true`. A kill can leave an unfinished transaction at the end.
The next run truncates and repeats it, and ends with the same bytes as a run that was never killed.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from onelook.errors import OnelookError
from onelook.files import create_private_file
from onelook.media.discovery import MediaFile, hash_path, hash_version
from onelook.media.embeddings_file import FILE_NAME as EMBEDDINGS_NAME
from onelook.media.embeddings_file import EmbeddingsFile
from onelook.media.journal_record import Record, parse_record
from onelook.untrusted import iter_lines

FILE_NAME = "faces.jsonl"


class Journal:
    """Writer of the records and embeddings of a run, as a context manager for a single process."""

    def __init__(self, folder: Path, embedding_size: int, fingerprint: str) -> None:
        """Open the journal, truncate an unfinished transaction and load the index of done files.

        Args:
            folder: output folder of the run.
            embedding_size: dimension d of an embedding.
            fingerprint: fingerprint of the model.

        Raises:
            OnelookError: a record is damaged, or embeddings are missing.
        """
        path = folder / FILE_NAME
        self._done: dict[int, int] = {}  # path hash -> version hash: integers, since a run may hold millions of files
        pending: dict[int, int] = {}
        committed_bytes, committed_rows, row_count = 0, 0, 0
        create_private_file(path)
        for record, end in _parse_records(path):
            row_count = max([row_count, *(row + 1 for row in _embedding_rows(record))])
            if record["what"] not in ("frame", "track"):
                pending[hash_path(record["source"])] = hash_version(record["bytes"], record["mtime_ns"])
            if not record["more"]:
                self._done.update(pending)
                pending.clear()
                committed_bytes, committed_rows = end, row_count
        self._stream = path.open("r+b")
        self._stream.truncate(committed_bytes)
        self._stream.seek(committed_bytes)
        self._embeddings = EmbeddingsFile(folder / EMBEDDINGS_NAME, embedding_size, fingerprint, committed_rows)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._embeddings.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def is_done(self, file: MediaFile) -> bool:
        """Return whether the current version of a file is in the journal."""
        return self._done.get(file.path_hash) == file.version_hash

    def add_embedding(self, embedding: np.ndarray) -> int:
        """Append an embedding (d,) of the open transaction and return its row index."""
        return self._embeddings.append(embedding)

    def write_transaction(self, records: Iterable[Record]) -> None:
        """Write the records of one transaction; after a kill, all of them count or none."""
        last = b""
        for record in records:
            self._stream.write(last)
            last = json.dumps(record, allow_nan=False).encode() + b"\n"
        # Embeddings first: the last record commits the transaction, and a long record bypasses the stream's buffer.
        self._embeddings.flush()
        self._stream.write(last)
        # No fsync here: data handed to the operating system survives a kill of the process.
        self._stream.flush()


def read_records(folder: Path) -> Iterator[Record]:
    """Read the records of a run in order, only the latest ones of each file.

    Args:
        folder: output folder of the run.

    Raises:
        OnelookError: there is no journal, or a record is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise OnelookError(f"{folder}: no results; `onelook identify-all SOURCE --out {folder}` makes them")
    latest = {hash_path(record["source"]): entry for entry, record in _number_entries(path)}
    for entry, record in _number_entries(path):
        if latest[hash_path(record["source"])] == entry:
            yield record


def _number_entries(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield each record with the number of its entry: the records of one identification of one file."""
    entry = 0
    for record, _ in _parse_records(path):
        yield entry, record
        entry += record["what"] in ("photo", "video")


def _parse_records(path: Path) -> Iterator[tuple[Record, int]]:
    """Yield each record with the byte offset of its end; skip a last line without a line end."""
    end = number = 0
    try:
        with path.open("rb") as stream:
            for data in iter_lines(stream):
                number += 1
                if not data.endswith(b"\n"):
                    return
                record = parse_record(data)
                end += len(data)
                yield record, end
    except ValueError as error:
        raise OnelookError(f"{path} line {number}: damaged; name a new folder (--out)") from error


def _embedding_rows(record: Record) -> list[int]:
    """Return the row indices of the embeddings that a record refers to."""
    faces = record["faces"] if record["what"] == "photo" else [record] if record["what"] == "track" else []
    return [face["row"] for face in faces if face["row"] is not None]
