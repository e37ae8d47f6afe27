"""A step that was cut off is not there for the next run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onelook.media.discovery import Source
from onelook.media.journal import Journal, Line


def step(journal: Journal, photo: Path) -> Iterator[Line]:
    """One line, too long for any buffer, that names a row."""
    row = journal.add_row(np.ones(4, np.float32))
    at = {"source": str(photo), "bytes": 0, "mtime_ns": 0, "picture": "x" * 100_000}
    yield {"what": "photo", **at, "faces": [{"row": row}], "more": False}


def test_a_step_cut_off_before_its_rows_are_written_is_done_again(tmp_path: Path) -> None:
    photo = Source(tmp_path / "a.jpg", "photo")
    (tmp_path / "out").mkdir()
    killed = tmp_path / "killed"

    def cut_off(lines: Iterator[Line]) -> Iterator[Line]:
        yield from lines
        shutil.copytree(tmp_path / "out", killed)  # what a kill would leave

    with Journal(tmp_path / "out", 4, "a" * 64) as journal:
        journal.write(cut_off(step(journal, photo.path)))
    with Journal(killed, 4, "a" * 64) as journal:
        assert not journal.knows(photo)
        journal.write(step(journal, photo.path))
    for name in ("faces.jsonl", "embeddings.safetensors"):
        assert (killed / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    with Journal(killed, 4, "a" * 64) as journal:
        assert journal.knows(photo)
