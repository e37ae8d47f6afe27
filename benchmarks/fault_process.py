"""Commands of onelook in forked processes, in which `fault_shim.c` fails or kills at a chosen file operation."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACTIONS = {"count": (0, 0), "EIO": (1, 5), "ENOSPC": (2, 28), "SIGKILL": (3, 0)}
"""Number of the action in `fault_shim.c`, and error number. A full disk stays full, the other error occurs once."""
_SHIM = Path(__file__).with_name("fault_shim.c")
_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """End of a process.

    Attributes:
        code: exit code; negative: the signal; None: it hung.
        errors: what it wrote to stderr.
        operations: number of file operations below the watched folder; 0 of a killed process.
    """

    code: int | None
    errors: str
    operations: int

    @property
    def has_traceback(self) -> bool:
        """Return whether the process ended otherwise than by a message, a success or the injected kill."""
        return "Traceback" in self.errors or self.code is None or (self.code < 0 and self.code != -signal.SIGKILL)


def preload_shim() -> None:
    """Build the library and start this program again with it; return at once where it is loaded.

    Exit where there is no C compiler.
    """
    if hasattr(ctypes.CDLL(None), "fault_arm"):
        return
    library = Path(tempfile.mkdtemp()) / "fault_shim.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, _SHIM, "-ldl"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{_SHIM}: cannot be compiled ({error}); install a C compiler")
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_PRELOAD": str(library)})


def run_forked(command: Callable[[], None], watched: Path, action: str = "count", at: int = 0) -> Outcome:
    """Run a command in a fork.

    Args:
        command: the command; it ends by returning or by SystemExit.
        watched: folder whose operations count.
        action: key of ACTIONS.
        at: number of the operation that it concerns, from 1.
    """
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            _run_child(command, watched, action, at, errors.fileno(), writer)
        os.close(writer)
        code = _wait(child)
        operations = os.read(reader, 32)
        os.close(reader)
        errors.seek(0)
        return Outcome(code, errors.read().decode(errors="replace"), int(operations or 0))


def _run_child(command: Callable[[], None], watched: Path, action: str, at: int, errors: int, writer: int) -> None:
    code = 97
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(errors, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        shim = ctypes.CDLL(None)
        number, error = ACTIONS[action]
        shim.fault_arm(os.fsencode(watched), at, number, error)
        try:
            command()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 98
        os.write(writer, str(shim.fault_count()).encode())
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int) -> int | None:
    ends = time.monotonic() + _SECONDS
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
