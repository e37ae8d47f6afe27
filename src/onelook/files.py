"""Atomic writes: a kill or a full disk leaves the old file or the new one.

Files and folders are private by default, whatever the umask, because most of them hold photos, names or embeddings. A
kill leaves a temporary file or folder beside the target, which the next write of the same target removes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onelook.errors import OnelookError, WriteError
from onelook.temporaries import create_temporary, release, retired_path, sweep_temporaries
from onelook.untrusted import parse_json_object

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Flag of os.open for a file of a folder that somebody else may have made: a link there may lead anywhere."""
_LONGEST_STEM = 200
"""Of the 255 bytes that common file systems allow for the name of a file."""


@contextmanager
def atomic_file(path: Path, *, private: bool = True) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path, renamed on success.

    The temporary file lies beside `path` and is flushed to disk before the rename.

    Args:
        path: the file.
        private: only its owner may read it (mode 0600); False: the umask decides.

    Raises:
        OnelookError: the disk is full or the folder cannot be written. The message says whether `path` was changed.
    """
    with _one_line_error(path) as progress:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(path)
        temporary, descriptor = create_temporary(path, private, is_folder=False)
        try:
            yield temporary
            flush(temporary)
            if private:
                temporary.chmod(0o600)
            temporary.replace(path)
            progress.is_changed = True
            flush(path.parent)
        finally:
            release(descriptor)
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, private: bool = True) -> Iterator[Path]:
    """Replace a folder: yield an empty temporary folder, renamed on success.

    Between two renames `path` is absent for an instant. The old folder is then under a hidden name beside it, and
    `recover_folder` restores it. One process at a time may replace a folder.

    Args:
        path: the folder.
        private: only its owner may read it and its files (modes 0700 and 0600); False: the umask decides.

    Raises:
        OnelookError: the disk is full or the folder cannot be written. The message says whether `path` was changed.
    """
    with _one_line_error(path) as progress:
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        temporary, descriptor = create_temporary(path, private, is_folder=True)
        retired = retired_path(path)
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if private and not file.is_symlink():
                    file.chmod(0o700 if file.is_dir() else 0o600)
                flush(file)
            if path.exists():
                path.rename(retired)
            temporary.rename(path)
            progress.is_changed = True
            flush(path.parent)
            if retired.exists():
                shutil.rmtree(retired)
        finally:
            release(descriptor)
            recover_folder(path)


def recover_folder(path: Path) -> None:
    """Undo an interrupted `atomic_folder`: restore the old folder, remove the new."""
    sweep_temporaries(path)
    retired = retired_path(path)
    if retired.exists():
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)
        else:
            retired.rename(path)


def make_private_folder(path: Path) -> None:
    """Create a folder that only its owner may read, if it is absent; missing parents are as the umask makes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if not path.is_dir():
        raise NotADirectoryError(20, "a file is in the way", str(path))


def create_private_file(path: Path) -> None:
    """Create an empty file that only its owner may read, or restrict the present one to its owner."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | NO_FOLLOW, 0o600))
    path.chmod(0o600)


@dataclass
class _Progress:
    """State of a write, for the message of an error."""

    is_changed: bool = False


@contextmanager
def _one_line_error(path: Path) -> Iterator[_Progress]:
    progress = _Progress()
    try:
        yield progress
    except OSError as error:
        reason = error.strerror or error
        if progress.is_changed:
            message = f"{path}: changed, but not cleaned up or not yet safe on the disk ({reason}); check the disk"
        else:
            message = f"{path}: cannot be written ({reason}); nothing was changed"
        raise WriteError(message) from error


def write_json(path: Path, value: Any, *, private: bool = True) -> None:
    """Write `value` atomically as UTF-8 JSON with sorted keys.

    Raises:
        ValueError: the value holds NaN or an infinity.
        OnelookError: as `atomic_file`.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, private=private)


def write_text(path: Path, text: str, *, private: bool = True) -> None:
    """Write `text` atomically as UTF-8."""
    with atomic_file(path, private=private) as temporary:
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


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read an append-only file of JSON objects, one a line; a last line that a kill has torn is cut off.

    Returns:
        The objects; none without a file.

    Raises:
        OnelookError: a line is damaged.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    objects = []
    for number, line in enumerate(whole.split(b"\n")[:-1], 1):
        try:
            objects.append(parse_json_object(line, allow_surrogates=True))  # of paths that are not UTF-8
        except ValueError as error:
            raise OnelookError(f"{path}: line {number} is damaged ({error}); delete the file to begin anew") from error
    if whole != content:
        write_text(path, whole.decode())
    return objects
