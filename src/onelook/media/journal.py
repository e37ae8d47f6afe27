"""What a run has found so far, a JSON object a line; it is also how the run knows what is done.

A step is what is written together: a pass of photos, or a video. Every line but a step's last has `more: true`. A run
that is killed leaves a step half written at the end; the next one cuts it off and does the step again, so that it ends
with the same bytes as a run that was never killed.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from onelook.errors import OnelookError
from onelook.media.discovery import Source, path_key, stamp
from onelook.media.embeddings_file import NAME as EMBEDDINGS
from onelook.media.embeddings_file import EmbeddingFile

NAME = "faces.jsonl"

Line = dict[str, Any]


class Journal:
    """The lines and embeddings of a run, as a context; one process at a time."""

    def __init__(self, folder: Path, size: int, fingerprint: str) -> None:
        """Cut off what a kill left half written, and remember what is done: about 100 bytes a file.

        Args:
            folder: of the run.
            size: of an embedding.
            fingerprint: of the model.

        Raises:
            OnelookError: a line is damaged.
        """
        path = folder / NAME
        self._done: dict[int, int] = {}
        step: dict[int, int] = {}
        end, rows, seen = 0, 0, 0
        path.touch()
        for line, after in _whole_lines(path):
            seen = max([seen, *(row + 1 for row in _rows(line))])
            if line["what"] != "frame" and line["what"] != "track":
                step[path_key(line["source"])] = stamp(line["bytes"], line["mtime_ns"])
            if not line["more"]:
                self._done.update(step)
                step.clear()
                end, rows = after, seen
        self._stream = path.open("r+b")
        self._stream.truncate(end)
        self._stream.seek(end)
        self._embeddings = EmbeddingFile(folder / EMBEDDINGS, size, fingerprint, rows)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._embeddings.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def knows(self, source: Source) -> bool:
        """Whether the file, as it is now, has been looked at."""
        return self._done.get(source.key) == source.stamp

    def add_row(self, embedding: np.ndarray) -> int:
        """Keep an embedding (d,) of the step that is written next; its row number."""
        return self._embeddings.add(embedding)

    def write(self, lines: Iterable[Line]) -> None:
        """Write one step: all of it or, after a kill, nothing."""
        last = b""
        for line in lines:
            self._stream.write(last)
            last = json.dumps(line, allow_nan=False).encode() + b"\n"
        # Before the line that ends the step: a long one does not wait in the stream's buffer.
        self._embeddings.flush()
        self._stream.write(last)
        self._stream.flush()  # a kill loses nothing of it; syncing each step would take a third of the time


def current_lines(folder: Path) -> Iterator[Line]:
    """The lines of a run in their order; of a file that changed and was looked at again, the later ones alone.

    Raises:
        OnelookError: there are none, or one is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        raise OnelookError(f"{folder}: no results; `onelook identify-all SOURCE --out {folder}` makes them")
    latest = {path_key(line["source"]): visit for visit, line in _visits(path)}
    for visit, line in _visits(path):
        if latest[path_key(line["source"])] == visit:
            yield line


def _visits(path: Path) -> Iterator[tuple[int, Line]]:
    """Each line with the number of the visit to a file that it belongs to."""
    visit = 0
    for line, _ in _whole_lines(path):
        yield visit, line
        visit += line["what"] in ("photo", "video")


def _whole_lines(path: Path) -> Iterator[tuple[Line, int]]:
    """Each line with the number of bytes up to its end; a last line without an end is passed over."""
    after = 0
    with path.open("rb") as stream:
        for number, data in enumerate(stream, start=1):
            if not data.endswith(b"\n"):
                return
            after += len(data)
            try:
                line = json.loads(data)
                _ = line["what"], line["source"], line["more"]
            except (ValueError, TypeError, KeyError) as error:
                raise OnelookError(f"{path} line {number}: damaged; name a new folder (--out)") from error
            yield line, after


def _rows(line: Line) -> list[int]:
    """Numbers of the embeddings that a line names."""
    faces = line["faces"] if line["what"] == "photo" else [line] if line["what"] == "track" else []
    return [face["row"] for face in faces if face["row"] is not None]
