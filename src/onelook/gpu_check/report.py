"""Results of the checks, one after the other, and the file they are written to."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from onelook.errors import OnelookError
from onelook.files import write_json

Outcome = Literal["passed", "slow", "skipped", "failed"]


class CheckFailedError(OnelookError):
    """A check failed; the message has what was found and what to do."""


class Skipped(Exception):
    """A check cannot run here; the message has the reason."""


class Report:
    """Runs checks, prints a line for each, and writes the results of all to a JSON file after each of them.

    Attributes:
        results: by the name of the check: outcome, seconds, and what it measured.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}

    def run(self, name: str, check: Callable[[], dict[str, Any]]) -> None:
        """Run a check that returns what it measured; an entry `outcome` there replaces "passed".

        Raises:
            OnelookError: the check failed.
        """
        start = time.perf_counter()
        try:
            measured = check()
        except Skipped as reason:
            measured = {"outcome": "skipped", "reason": str(reason)}
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            self._add(name, start, {"outcome": "failed", "reason": line})
            if isinstance(error, OnelookError):
                raise
            raise CheckFailedError(f"{name}: {line}; please report it with {self.path}") from error
        self._add(name, start, measured)

    def _add(self, name: str, start: float, measured: dict[str, Any]) -> None:
        result = {"outcome": "passed", "seconds": round(time.perf_counter() - start, 1)} | measured
        self.results[name] = result
        write_json(self.path, self.results, private=False)
        shown = "  ".join(
            f"{key} {_format(value)}" for key, value in result.items() if key not in ("outcome", "seconds")
        )
        print(f"{result['outcome']:8}{name} ({result['seconds']} s)  {shown}", flush=True)


def _format(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
