"""Appendable safetensors file of embeddings.

Rows are appended at the end. The header has a fixed length, padded with blanks as the format allows, and is rewritten
in place when the file is closed. Until then it states fewer rows than the file has, and readers reject the file as
incomplete.
"""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from onelook.errors import OnelookError
from onelook.files import NO_FOLLOW

FILE_NAME = "embeddings.safetensors"
_HEADER_BYTES = 512
_DATA_START = 8 + _HEADER_BYTES


class EmbeddingsFile:
    """Writer that appends embedding rows to a safetensors file."""

    def __init__(self, path: Path, embedding_size: int, fingerprint: str, row_count: int) -> None:
        """Open or create the file and truncate it after `row_count` rows.

        Args:
            path: path of the file.
            embedding_size: dimension d of a row.
            fingerprint: fingerprint of the model that computes the rows.
            row_count: number of rows to keep.

        Raises:
            OnelookError: the file has fewer rows.
        """
        self._embedding_size = embedding_size
        self._fingerprint = fingerprint
        size_bytes = _DATA_START + row_count * self._row_bytes
        if row_count and (not path.exists() or path.stat().st_size < size_bytes):
            raise OnelookError(f"{path}: lacks rows that the results name; name a new folder (--out)")
        self._stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600), "r+b")
        self._stream.truncate(size_bytes)
        self._stream.seek(0, os.SEEK_END)
        self._row_count = row_count

    @property
    def _row_bytes(self) -> int:
        return self._embedding_size * np.dtype(np.float32).itemsize

    def append(self, embedding: np.ndarray) -> int:
        """Append an embedding (d,) and return its row index."""
        self._stream.write(np.ascontiguousarray(embedding, "<f4").tobytes())
        self._row_count += 1
        return self._row_count - 1

    def flush(self) -> None:
        """Flush the rows to the operating system, so that they survive a kill."""
        self._stream.flush()

    def close(self) -> None:
        """Write the final header and close the file."""
        shape = [self._row_count, self._embedding_size]
        tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, self._row_count * self._row_bytes]}
        header = json.dumps({"__metadata__": {"fingerprint": self._fingerprint}, "embeddings": tensor})
        self._stream.seek(0)
        self._stream.write(_HEADER_BYTES.to_bytes(8, "little") + header.encode().ljust(_HEADER_BYTES))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()


def read_embeddings(folder: Path, fingerprint: str) -> np.ndarray:
    """Read the embeddings of the unknown faces of a finished run.

    Args:
        folder: output folder of the run.
        fingerprint: fingerprint of the gallery's model.

    Returns:
        (n, d) float32, L2-normalized rows.

    Raises:
        OnelookError: the file is missing, damaged, unfinished, or made with another model.
    """
    try:
        with safe_open(folder / FILE_NAME, framework="numpy") as file:
            file_fingerprint = file.metadata()["fingerprint"]
            embeddings: np.ndarray = file.get_tensor("embeddings")
    except (OSError, SafetensorError, KeyError) as error:
        raise OnelookError(
            f"{folder / FILE_NAME}: missing or incomplete; run `onelook identify-all` with --out {folder} until it ends"
        ) from error
    if file_fingerprint != fingerprint:
        raise OnelookError(
            f"{folder}: made with model {file_fingerprint[:12]}, the gallery with model {fingerprint[:12]}; "
            "name the gallery that it was made with (--gallery)"
        )
    return embeddings
