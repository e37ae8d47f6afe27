"""Findings of a search for a person, and the replacement of files that keeps their permissions."""

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from onelook.errors import OnelookError


@dataclass(frozen=True)
class Finding:
    """A place that holds a person, or that could not be searched.

    Attributes:
        path: file or folder.
        content: what it holds of the person, as in "backup: 3 photos", or why it could not be searched.
        erase: removes that, each file atomically; None: onelook cannot.
        advice: what the user can do where `erase` is None, or has to do besides.
    """

    path: Path
    content: str
    erase: Callable[[], None] | None = None
    advice: str | None = None


def format_counts(counts: Mapping[str, int]) -> str:
    """Format counts by singular noun, as in "3 photos, 1 correction", without zeros."""
    return ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for noun, count in counts.items() if count)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically with its permissions; a kill leaves the old file or the new one.

    Raises:
        OnelookError: it cannot be written; it is then as it was.
    """
    try:
        mode = path.stat().st_mode
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(mode)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OnelookError(f"{path}: cannot be written ({error.strerror or error}); it was not changed") from error


def remove_file(path: Path) -> None:
    """Remove a file, if there is one.

    Raises:
        OnelookError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OnelookError(f"{path}: cannot be removed ({error.strerror or error})") from error
