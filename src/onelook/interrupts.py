"""Interruptions that are not lost, wherever in the program they come."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

# Long after the finalizer has ended, and soon for whoever pressed the keys.
_SECONDS = 0.05


class Terminated(SystemExit):
    """SIGTERM came; raised as an exception so that what is open gets closed."""


_SIGNALS = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}


@contextmanager
def redeliver_interrupts() -> Iterator[None]:
    """Within it an interruption that Python could only print and drop comes again.

    Out of a finalizer, or a callback of a library in C, no exception gets any further; thousands of these run while
    packages are imported. A command that was interrupted just then would go on to its end.
    """
    before = sys.unraisablehook

    # Of the type `sys.UnraisableHookArgs`, which is there for type checkers alone.
    def again(lost: Any) -> None:
        number = _SIGNALS.get(lost.exc_type)
        if number is None:
            before(lost)
            return
        # From a thread, for raised here it would be lost once more.
        timer = Timer(_SECONDS, signal.raise_signal, [number])
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before
