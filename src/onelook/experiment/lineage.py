"""Lineage of files by content: the run that wrote a file is found by the file's MD5.

A stage's run carries a tag `output.<md5>` per output and `input.<md5>` per input. Content, unlike a path, also holds
when DVC skipped the stage or pulled its output from a cache.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onelook.experiment.mlflow_store import MlflowStore


def content_md5(path: Path) -> str:
    """Return the hex MD5 of a file's bytes, or of a folder's file names and bytes.

    Times and empty folders do not count.
    """
    if not path.is_dir():
        return _file_md5(path)
    digest = hashlib.md5(usedforsecurity=False)
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    for name in names:
        digest.update(f"{name}\0{_file_md5(path / name)}\n".encode())
    return digest.hexdigest()


def find_producer(store: MlflowStore, md5: str) -> Any | None:
    """Return the latest finished stage run with an output of this content, or None."""
    found = store.client.search_runs(
        [store.experiment_id],
        f"attributes.status = 'FINISHED' and tags.`output.{md5}` LIKE '%'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return found[0] if found else None


def iterate_ancestors(store: MlflowStore, run: Any) -> Iterator[Any]:
    """Yield once each stage run whose outputs went into `run`, directly or through other runs."""
    visited: set[str] = set()
    pending = [run]
    while pending:
        inputs = (name.removeprefix("input.") for name in pending.pop().data.tags if name.startswith("input."))
        for producer in filter(None, (find_producer(store, md5) for md5 in inputs)):
            if producer.info.run_id not in visited:
                visited.add(producer.info.run_id)
                pending.append(producer)
                yield producer


def _file_md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
