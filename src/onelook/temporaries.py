"""Temporary files and folders beside the target of an atomic write, and what a kill leaves of them.

A process locks its temporary files while it writes them. So another process can tell those of a dead process.
"""

import glob
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ABANDONED_SECONDS = 24 * 3600
"""Age of a temporary file of a dead process, where the file system has no locks to find that out."""
_DIGITS = 16


def create_temporary(path: Path, private: bool, *, is_folder: bool) -> tuple[Path, int | None]:
    """Create a temporary file or folder beside `path` and lock it.

    Returns:
        The temporary path, and the descriptor that holds the lock, for `release`; None where there are no locks.
    """
    while True:
        temporary = path.parent / f"{_temporary_prefix(path)}{secrets.token_hex(_DIGITS // 2)}"
        if is_folder:
            temporary.mkdir(0o700 if private else 0o777)
        else:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))
        if fcntl is None:
            return temporary, None
        descriptor = os.open(temporary, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        # Another process may have taken it for abandoned before it was locked.
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def release(descriptor: int | None) -> None:
    """Release the lock of `create_temporary`."""
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def find_temporaries(path: Path) -> list[Path]:
    """Find what killed writes of a file or folder left beside it, which may hold its content."""
    candidates = path.parent.glob(f"{glob.escape(_temporary_prefix(path))}*")
    # os.path.exists, since the name may be too long for a file system.
    retired = [retired_path(path)] if os.path.exists(retired_path(path)) else []  # noqa: PTH110
    return sorted(each for each in candidates if _is_temporary(path, each) and is_abandoned(each)) + retired


def sweep_temporaries(path: Path) -> None:
    """Remove the temporary files and folders that killed writes of `path` left; those of live processes stay."""
    for abandoned in find_temporaries(path):
        if abandoned == retired_path(path):  # the only copy, see `recover_folder`
            continue
        if abandoned.is_dir():
            shutil.rmtree(abandoned, ignore_errors=True)
        else:
            with suppress(OSError):
                abandoned.unlink()


def is_abandoned(temporary: Path) -> bool:
    """Return whether the process that wrote a temporary file or folder is gone, and its lock with it."""
    try:
        if fcntl is not None:
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False
            finally:
                os.close(descriptor)
    except OSError:  # no locks there
        pass
    with suppress(OSError):
        return time.time() - temporary.stat().st_mtime > _ABANDONED_SECONDS
    return False


def retired_path(path: Path) -> Path:
    """Return the hidden name of a folder between the two renames that replace it."""
    return path.parent / f".{path.name}.old"


def _temporary_prefix(path: Path) -> str:
    # A name may have 255 bytes on common file systems, the temporary one too; a character has at most four.
    return f".{path.name[:55]}.new-"


def _is_temporary(path: Path, candidate: Path) -> bool:
    digits = candidate.name.removeprefix(_temporary_prefix(path))
    return len(digits) == _DIGITS and set(digits) <= set("0123456789abcdef") and not candidate.is_symlink()
