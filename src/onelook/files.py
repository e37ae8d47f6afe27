"""Writing files so that a kill or a full disk at any moment leaves the old file or the new one, never half of one."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onelook.errors import OnelookError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed onto `path`.

    Raises:
        OnelookError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    with _told_in_one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _flush(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it takes the place of `path`.

    Between the two renames `path` is absent for an instant; the old folder is then under a hidden name beside it
    and `recover_folder` brings it back. One process at a time may replace a folder.

    Raises:
        OnelookError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    with _told_in_one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        temporary = Path(tempfile.mkdtemp(prefix=f"{_unfinished(path)}", dir=path.parent))
        retired = path.parent / f".{path.name}.old"
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                _flush(file)
            temporary.chmod(0o755)
            if path.exists():
                path.rename(retired)
            temporary.rename(path)
            _flush(path.parent)
            shutil.rmtree(retired, ignore_errors=True)
        finally:
            recover_folder(path)


def recover_folder(path: Path) -> None:
    """Undo what a kill in the middle of `replacing_folder` left: bring back the old folder, drop the unfinished one."""
    for unfinished in path.parent.glob(f"{glob.escape(_unfinished(path))}*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    retired = path.parent / f".{path.name}.old"
    if retired.exists():
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)
        else:
            retired.rename(path)


def _unfinished(path: Path) -> str:
    return f".{path.name}.new-"


@contextmanager
def _told_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OnelookError(f"{path}: cannot be written ({error.strerror or error}); nothing was changed") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as UTF-8 JSON with sorted keys, in one step; NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, for a path that came out of a label file.

    Raises:
        OnelookError: the path leaves `root`.
    """
    resolved = (root / relative).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise OnelookError(f"{relative}: leaves the data folder {root}; paths in label files must stay inside it")
    return root / relative


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
