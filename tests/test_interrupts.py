"""Interruptions by real signals; each at a moment when Python drops it is in a process of its own."""

import signal
import subprocess
import sys
import textwrap

import pytest

from onelook.interrupts import catch_stop_signals

_HEAD = """
    import signal, sys, time
    from onelook.interrupts import Terminated, redeliver_interrupts

    class Interrupted:
        def __init__(self, number): self.number = number
        def __del__(self):
            signal.raise_signal(self.number)  # its exception cannot leave a finalizer
            time.sleep(0)

    def terminate(number, frame): raise Terminated(128 + number)
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait():
        end = time.monotonic() + 20
        while time.monotonic() < end: time.sleep(0.01)
"""


def _run(body: str) -> "subprocess.CompletedProcess[str]":
    script = textwrap.dedent(_HEAD) + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("number", "caught"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")])
def test_an_interruption_in_a_finalizer_comes_again(number: signal.Signals, caught: str) -> None:
    done = _run(f"""
        try:
            with redeliver_interrupts():
                Interrupted({number.value})
                print("goes on", flush=True)
                wait()
                print("to the end")
        except BaseException as error:
            print(type(error).__name__)
    """)
    assert (done.stdout.splitlines(), done.stderr) == (["goes on", caught], "")


def test_other_errors_there_are_told_as_ever_and_the_hook_is_put_back() -> None:
    done = _run("""
        class Broken:
            def __del__(self): 1 / 0
        before = sys.unraisablehook
        with redeliver_interrupts():
            Broken()
        assert sys.unraisablehook is before
    """)
    assert done.returncode == 0 and "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_stop_signal_is_noted_and_the_second_one_has_its_former_effect(number: signal.Signals) -> None:
    received: list[int] = []
    before = signal.signal(number, lambda number, frame: received.append(number))
    try:
        with catch_stop_signals() as should_stop:
            assert not should_stop()
            signal.raise_signal(number)
            assert should_stop() and not received
            signal.raise_signal(number)
            assert received == [number]
        signal.raise_signal(number)
        assert received == [number, number]
    finally:
        signal.signal(number, before)
