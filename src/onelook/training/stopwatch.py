"""Stopwatch of a training that may be interrupted."""

import time
from collections.abc import Callable
from pathlib import Path

from onelook.errors import DataError
from onelook.files import write_json
from onelook.untrusted import one_line, parse_json_object, read_limited

_FILE = "minutes.json"


class Stopwatch:
    """The minutes of a training since its start, without those after the last `save` before an interruption."""

    def __init__(self, folder: Path, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start, or go on from the minutes that were saved in a folder with this key.

        Args:
            folder: of the saved minutes.
            key: of the training.
            clock: returns seconds; `time.process_time` counts those of the processor.

        Raises:
            DataError: the saved minutes are damaged.
        """
        self._path = folder / _FILE
        self._key = key
        self._earlier = 0.0
        if self._path.is_file():
            try:
                saved = parse_json_object(read_limited(self._path))
                self._earlier = float(saved["minutes"]) if saved["key"] == key else 0.0
            except (ValueError, KeyError, TypeError) as error:
                reason = one_line(error)
                raise DataError(f"{self._path}: damaged ({reason}); delete it, and the minutes begin anew") from error
        self._clock = clock
        self._start = clock()

    @property
    def minutes(self) -> float:
        """Return the minutes until now."""
        return self._earlier + (self._clock() - self._start) / 60

    def save(self) -> None:
        """Write the minutes until now to the folder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {"key": self._key, "minutes": self.minutes})
