import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import OnelookError
from onelook.media.discovery import MediaFile
from onelook.media.journal import Journal, Record, read_records


def make_transaction(journal: Journal, photo: Path) -> Iterator[Record]:
    """Yield one record with an embedding, longer than any stream buffer."""
    row = journal.add_embedding(np.ones(4, np.float32))
    file_values = {"source": str(photo), "bytes": 0, "mtime_ns": 0, "picture": "x" * 100_000, "error": None}
    face = {
        "box": [1, 2, 30, 40],
        "score": 0.9,
        "size": 30,
        "sharpness": 0.5,
        "name": None,
        "nearest": None,
        "row": row,
    }
    yield {"what": "photo", **file_values, "faces": [face], "more": False}


def test_transaction_killed_before_its_embeddings_are_written_is_repeated(tmp_path: Path) -> None:
    photo = MediaFile(tmp_path / "a.jpg", "photo")
    (tmp_path / "out").mkdir()
    killed = tmp_path / "killed"

    def copy_folder_at_end(records: Iterator[Record]) -> Iterator[Record]:
        yield from records
        shutil.copytree(tmp_path / "out", killed)  # the state that a kill would leave

    with Journal(tmp_path / "out", 4, "a" * 64) as journal:
        journal.write_transaction(copy_folder_at_end(make_transaction(journal, photo.path)))
    with Journal(killed, 4, "a" * 64) as journal:
        assert not journal.is_done(photo)
        journal.write_transaction(make_transaction(journal, photo.path))
    for name in ("faces.jsonl", "embeddings.safetensors"):
        assert (killed / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    with Journal(killed, 4, "a" * 64) as journal:
        assert journal.is_done(photo)


@pytest.mark.parametrize(
    "change",
    [
        {"faces": None},
        {"faces": [{"row": "0"}]},
        {"bytes": "0"},
        {"source": 1},
        {"more": None},
        {"what": "movie"},
        {"faces": [[[[]]]]},
        {"mtime_ns": float("nan")},
    ],
)
def test_a_damaged_record_is_named_by_its_line(tmp_path: Path, change: dict) -> None:
    with Journal(tmp_path, 4, "a" * 64) as journal:
        journal.write_transaction(make_transaction(journal, tmp_path / "a.jpg"))
    record = json.loads((tmp_path / "faces.jsonl").read_bytes())
    (tmp_path / "faces.jsonl").write_text(json.dumps(record) + "\n" + json.dumps(record | change) + "\n")
    with pytest.raises(OnelookError, match=r"faces\.jsonl line 2: damaged"):
        list(read_records(tmp_path))
