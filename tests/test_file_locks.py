import errno
import os
from pathlib import Path

import pytest
from filelock import FileLock

from onelook.errors import OnelookError
from onelook.file_locks import hold_lock

fcntl = pytest.importorskip("fcntl", reason="the system has no flock")


def test_a_held_lock_is_reported_and_a_free_one_taken(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".lock"),
        pytest.raises(OnelookError, match=r"^busy$"),
        hold_lock(tmp_path / ".lock", busy="busy"),
    ):
        pass
    with hold_lock(tmp_path / ".lock", busy="busy"), pytest.raises(OSError, match="of the body"):
        raise OSError(errno.ENOLCK, "of the body")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_as_such(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", fail)
    with (
        pytest.raises(OnelookError, match="this file system has no file locks"),
        hold_lock(tmp_path / ".lock", busy=""),
    ):
        pass
