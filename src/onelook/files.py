"""Atomic writes: a kill or a full disk leaves the old file or the new one."""

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

_LONGEST_STEM = 200
"""Of the 255 bytes that common file systems allow for the name of a file."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path, renamed on success.

    The temporary file lies beside `path` and is flushed to disk before the rename.

    Raises:
        OnelookError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    with _one_line_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name may have 255 bytes on common file systems, the temporary one too; a character has at most four.
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", dir=path.parent)
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
def atomic_folder(path: Path) -> Iterator[Path]:
    """Replace a folder: yield an empty temporary folder, renamed on success.

    Between two renames `path` is absent for an instant. The old folder is then under a hidden name beside it, and
    `recover_folder` restores it. One process at a time may replace a folder.

    Raises:
        OnelookError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    with _one_line_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        temporary = Path(tempfile.mkdtemp(prefix=f"{_temporary_prefix(path)}", dir=path.parent))
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
    """Undo an interrupted `atomic_folder`: restore the old folder, remove the new."""
    for unfinished in path.parent.glob(f"{glob.escape(_temporary_prefix(path))}*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    retired = path.parent / f".{path.name}.old"
    if retired.exists():
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)
        else:
            retired.rename(path)


def _temporary_prefix(path: Path) -> str:
    return f".{path.name}.new-"


@contextmanager
def _one_line_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OnelookError(f"{path}: cannot be written ({error.strerror or error}); nothing was changed") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as UTF-8 JSON with sorted keys.

    Raises:
        ValueError: the value holds NaN or an infinity.
        OnelookError: as `atomic_file`.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shorten_stem(stem: str) -> str:
    """Shorten the name of a file without its suffix to 200 bytes, so that a suffix and a number have room.

    A shortened name ends in eight digits of the SHA-256 of the whole one, so that different names stay different.
    """
    encoded = os.fsencode(stem)
    if len(encoded) <= _LONGEST_STEM:
        return stem
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    # A character that the cut divides is dropped.
    return f"{encoded[: _LONGEST_STEM - 9].decode(errors='ignore')}-{digest}"


def resolve_inside(root: Path, relative: str) -> Path:
    """Return `root / relative` for an untrusted path, as of a label file.

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


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read an append-only file of JSON objects, one a line; a last line that a kill has torn is cut off.

    Returns:
        The objects; none without a file.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
        write_text(path, b"".join(lines).decode())
    return [json.loads(line) for line in lines]
