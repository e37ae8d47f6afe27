"""Interrupts that end a loop in an orderly way, and redelivery of those that Python drops inside finalizers."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

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
        timer = threading.Timer(REDELIVERY_SECONDS, signal.raise_signal, [number])
        timer.daemon = True
        timer.start()

    sys.unraisablehook = redeliver
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, so that temporary files are removed as on Ctrl-C; the exit code is 143.

    Only the main thread can do this; in others this has no effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    raise Terminated(128 + number)


@contextmanager
def catch_stop_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether SIGINT or SIGTERM has arrived.

    The first signal only sets this state, so that a loop can end between two steps. The second one has the effect that
    it had before. Only the main thread may call this.
    """
    previous: dict[signal.Signals, Any] = {}
    received: list[int] = []

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def note(number: int, _: object) -> None:
        received.append(number)
        restore()

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        restore()
