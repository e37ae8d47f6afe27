"""Redelivery of interrupts that Python drops inside finalizers."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

# Longer than a finalizer takes, shorter than a person waits.
REDELIVERY_SECONDS = 0.05


class Terminated(SystemExit):
    """SIGTERM as an exception, so that open files and runs are closed."""


_SIGNALS = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}


@contextmanager
def redeliver_interrupts() -> Iterator[None]:
    """Raise the signal of a dropped interrupt again.

    Python prints and drops an exception that is raised in a finalizer or in a callback of a C library. Thousands of
    finalizers run while packages are imported. Without redelivery, a command interrupted there runs to its end.
    """
    previous_hook = sys.unraisablehook

    # The argument is a `sys.UnraisableHookArgs`, a type that exists for type checkers only.
    def redeliver(dropped: Any) -> None:
        number = _SIGNALS.get(dropped.exc_type)
        if number is None:
            previous_hook(dropped)
            return
        # A signal raised inside the finalizer would be dropped again, so a thread raises it later.
        timer = Timer(REDELIVERY_SECONDS, signal.raise_signal, [number])
        timer.daemon = True
        timer.start()

    sys.unraisablehook = redeliver
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook
