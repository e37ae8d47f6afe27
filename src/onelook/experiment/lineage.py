"""Which run made a file: found by the file's content, so that it holds when DVC skipped the stage or pulled its output.

A stage's run carries a tag `output.<md5>` for each of its outputs and `input.<md5>` for each of its inputs.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onelook.experiment.mlflow_store import MlflowStore


def content_md5(path: Path) -> str:
    """Hex MD5 of a file's bytes, or of a folder's file names and bytes; times and empty folders do not count."""
    if not path.is_dir():
        return _file_md5(path)
    digest = hashlib.md5(usedforsecurity=False)
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    for name in names:
        digest.update(f"{name}\0{_file_md5(path / name)}\n".encode())
    return digest.hexdigest()


def producer(store: MlflowStore, md5: str) -> Any | None:
    """The latest finished stage run that put out this content, None when the store knows of none."""
    found = store.client.search_runs(
        [store.experiment],
        f"attributes.status = 'FINISHED' and tags.`output.{md5}` LIKE '%'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return found[0] if found else None


def ancestors(store: MlflowStore, run: Any) -> Iterator[Any]:
    """The stage runs whose outputs `run` was made from, directly or through others, each once."""
    seen: set[str] = set()
    waiting = [run]
    while waiting:
        inputs = (name.removeprefix("input.") for name in waiting.pop().data.tags if name.startswith("input."))
        for found in filter(None, (producer(store, md5) for md5 in inputs)):
            if found.info.run_id not in seen:
                seen.add(found.info.run_id)
                waiting.append(found)
                yield found


def _file_md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
