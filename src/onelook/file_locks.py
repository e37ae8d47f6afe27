"""Locks between processes, with one-line errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from onelook.errors import OnelookError

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def hold_lock(path: Path, *, busy: str, timeout: float = 0) -> Iterator[None]:
    """Hold the lock of a file, which is created.

    Args:
        path: the lock file.
        busy: message of the error if another process holds the lock.
        timeout: seconds to wait for the other process.

    Raises:
        OnelookError: another process holds the lock, or the file system has no locks.
        OSError: the file cannot be created.
    """
    # A soft lock, the fallback, would stay after a kill.
    lock = FileLock(path, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire(timeout=timeout)
    except Timeout as error:
        raise OnelookError(busy) from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        reason = f"{path}: this file system has no file locks, which keep two processes apart"
        raise OnelookError(f"{reason}; use a folder on a local disk; nothing was changed") from error
    try:
        yield
    finally:
        with suppress(OSError):  # would hide the error of the work; the end of the process releases the lock
            lock.release()
