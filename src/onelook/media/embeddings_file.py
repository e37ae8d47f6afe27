"""Embeddings in one safetensors file that grows: rows are added at its end, and its header is brought up to date.

The header has a fixed length, filled up with blanks as the format allows, so that it can be written again in its place.
While rows are added it tells of fewer than there are; readers then refuse the file, as what it holds is not whole.
"""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from onelook.errors import OnelookError

NAME = "embeddings.safetensors"
_HEADER = 512
_START = 8 + _HEADER


class EmbeddingFile:
    """Rows (n, size) float32 on disk."""

    def __init__(self, path: Path, size: int, fingerprint: str, rows: int) -> None:
        """Open or begin the file and cut it after so many rows; the fingerprint is that of the rows' model.

        Raises:
            OnelookError: it has fewer rows.
        """
        self._size = size
        self._fingerprint = fingerprint
        if rows and (not path.exists() or path.stat().st_size < _START + rows * self._row_bytes):
            raise OnelookError(f"{path}: lacks rows that the results name; name a new folder (--out)")
        self._stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        self._stream.truncate(_START + rows * self._row_bytes)
        self._stream.seek(0, os.SEEK_END)
        self.rows = rows

    @property
    def _row_bytes(self) -> int:
        return self._size * np.dtype(np.float32).itemsize

    def add(self, row: np.ndarray) -> int:
        """Put a row (size,) at the end; its number."""
        self._stream.write(np.ascontiguousarray(row, "<f4").tobytes())
        self.rows += 1
        return self.rows - 1

    def flush(self) -> None:
        """Let other processes, and the next run after a kill, see the rows."""
        self._stream.flush()

    def close(self) -> None:
        """Bring the header up to date, so that the file can be read."""
        tensor = {"dtype": "F32", "shape": [self.rows, self._size], "data_offsets": [0, self.rows * self._row_bytes]}
        header = json.dumps({"__metadata__": {"fingerprint": self._fingerprint}, "embeddings": tensor})
        self._stream.seek(0)
        self._stream.write(_HEADER.to_bytes(8, "little") + header.encode().ljust(_HEADER))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()


def read_embeddings(folder: Path, fingerprint: str) -> np.ndarray:
    """The rows (n, size) float32 that a run with the model of this fingerprint left in its folder.

    Raises:
        OnelookError: they are missing, damaged, another model's, or those of a run that has not ended.
    """
    try:
        with safe_open(folder / NAME, framework="numpy") as file:
            made_by = file.metadata()["fingerprint"]
            rows: np.ndarray = file.get_tensor("embeddings")
    except (OSError, SafetensorError, KeyError) as error:
        raise OnelookError(
            f"{folder / NAME}: missing or not whole; run `onelook identify-all` with --out {folder} until it ends"
        ) from error
    if made_by != fingerprint:
        raise OnelookError(
            f"{folder}: made with model {made_by[:12]}, the gallery with model {fingerprint[:12]}; name the gallery "
            "that it was made with (--gallery)"
        )
    return rows
