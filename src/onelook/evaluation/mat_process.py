"""Program that reads `.mat` files for `onelook.evaluation.mat_cells`, in a process with limits; imports SciPy alone.

    python -P mat_process.py FILE VARIABLE [FILE VARIABLE]...

It prints a JSON list with an answer per file: a list of event, photo and rows, or a text that says what is wrong.
"""

import json
import sys
from typing import Any

import numpy as np
from scipy.io import loadmat

_MEMORY_BYTES = 4 * 2**30
_PROCESSOR_SECONDS = 60


def read_cells(path: str, variable: str) -> list[tuple[str, str, np.ndarray]] | str:
    """Read the cells of a variable by event and photo; return a text if they cannot be read."""
    try:
        content = loadmat(path)
    except Exception:  # SciPy raises many types for damaged data
        return "not a MATLAB file, or a damaged one; download it again"
    try:
        events = (content[each].ravel() for each in ("event_list", "file_list", variable))
        return [
            (str(event.item()), str(photo.item()), _numbers(rows))
            for event, photos, cells in zip(*events, strict=True)
            for photo, rows in zip(photos.ravel(), cells.ravel(), strict=True)
        ]
    except (KeyError, ValueError, AttributeError, TypeError, IndexError):
        return "does not have the layout of WIDER FACE's eval_tools; take it from there"


def _numbers(cell: Any) -> np.ndarray:
    rows = np.asarray(cell)
    if rows.size and (rows.dtype.kind not in "iufU" or (rows.dtype.kind == "f" and not np.isfinite(rows).all())):
        raise ValueError("a cell that holds neither finite numbers nor text")
    return rows if rows.size else np.zeros(0)


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # Windows; the timeout of the caller holds there, too
        return
    for limit, value in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CPU, _PROCESSOR_SECONDS)):
        resource.setrlimit(limit, (value, value))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> None:
    """Read the files, and print the answers."""
    _limit_resources()
    answers = [read_cells(path, variable) for path, variable in zip(arguments[::2], arguments[1::2], strict=True)]
    print(json.dumps(answers, default=lambda array: array.tolist(), allow_nan=False))


if __name__ == "__main__":
    main(sys.argv[1:])
