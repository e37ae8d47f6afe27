"""Properties in a forked process with limits on memory and time, so that a crash or a hang is a failure of one test."""

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from onelook.errors import OnelookError

EXAMPLES = int(os.environ.get("ONELOOK_FUZZ", "0"))
"""Inputs per format of a long run (`make fuzz`); 0: the few of the normal suite, always the same ones."""
QUICK_EXAMPLES = 12
MEMORY_BYTES = 2 * 2**30
"""Memory of a process beyond that of the test process it was forked from."""
SECONDS = 20
"""Time of one input."""
REPORT_VARIABLE = "ONELOOK_FUZZ_REPORT"
"""Variable with the path of a file to which each format appends its counts as a line of JSON."""
_MAX_MESSAGE = 2000
_MAX_LINES = 12  # settings have a line per problem


def check_format(
    name: str, inputs: SearchStrategy[Any], read: Callable[[Any, Path], object], cost: int, folder: Path
) -> None:
    """Check that each input is read, or refused by an error of one line, in bounded memory and time.

    Args:
        name: of the format.
        inputs: strategy of the inputs.
        read: reads an input, with a folder for its files.
        cost: the number of inputs is divided by it.
        folder: for the files of the inputs; the last input is in it after a crash.
    """
    examples = max(2, (EXAMPLES or QUICK_EXAMPLES) // cost)
    counts_file = folder / "counts.json"
    status = _run_limited(
        lambda: _search(inputs, read, examples, folder, counts_file), folder / "log", SECONDS * examples
    )
    if status != 0:
        log = (folder / "log").read_text(errors="replace")
        raise AssertionError(f"{name}: ended with {status}; the input is {folder / 'input'}\n{log[-3000:]}")
    if path := os.environ.get(REPORT_VARIABLE):
        with Path(path).open("a") as report:
            report.write(json.dumps({"format": name, **json.loads(counts_file.read_text())}) + "\n")


def _search(
    inputs: SearchStrategy[Any], read: Callable[[Any, Path], object], examples: int, folder: Path, counts_file: Path
) -> None:
    counts: Counter[str] = Counter()
    started_with = _memory()

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=not EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def is_read_or_refused(data: Any) -> None:
        (folder / "input").write_bytes(data if isinstance(data, bytes) else repr(data).encode("utf-8", "replace"))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            read(data, folder)
            counts["read"] += 1
        except OnelookError as error:
            message = str(error)
            assert len(message) < _MAX_MESSAGE and message.count("\n") < _MAX_LINES, message
            counts["refused"] += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    (seed(time.time_ns())(is_read_or_refused) if EXAMPLES else is_read_or_refused)()
    megabytes = max(0, _memory() - started_with) // 1024
    counts_file.write_text(json.dumps({"inputs": counts.total(), **counts, "megabytes": megabytes}))


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _run_limited(work: Callable[[], None], log: Path, seconds: float) -> int | str:
    """Run a function in a fork; return its exit code, or what ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _enter_child(log)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    ends = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else signal.Signals(-code).name
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"no end after {seconds:.0f} s"
        time.sleep(0.005)


def _enter_child(log: Path) -> None:
    """Send the output to a file, and set the limits."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    cv2.setNumThreads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _raise_timeout)


def _raise_timeout(*_: object) -> None:
    raise AssertionError(f"no end after {SECONDS} s")
