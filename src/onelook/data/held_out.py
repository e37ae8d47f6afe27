"""Division of photos without names into those that train, calibrate and measure, by their file names alone.

A set of photos is divided into eighths by the CRC-32 of the names. The first eighth calibrates the open-set decision,
the next three measure it (`benchmarks/unknown.py`), and training leaves out as many as `prepare.extra_faces.held_out`
says. No list of files is needed, and a photo keeps its part when photos are added.
"""

import zlib
from pathlib import PurePosixPath
from typing import Literal

Use = Literal["calibrate", "measure"]

_EIGHTHS: dict[Use, range] = {"calibrate": range(1), "measure": range(1, 4)}


def eighth_of(file: str) -> int:
    """Compute the eighth of a photo, 0 to 7, from its path or name up to the first dot.

    The directories do not count, and UTKFace's `1_0_0_2017.jpg.chip.jpg` is in the eighth of `1_0_0_2017.jpg`.
    """
    return zlib.crc32(PurePosixPath(file).name.split(".")[0].encode()) % 8


def is_held_out(file: str, eighths: int) -> bool:
    """Return whether training leaves out a photo of a set of which it leaves out a number of eighths."""
    return eighth_of(file) < eighths


def has_use(file: str, use: Use) -> bool:
    """Return whether a photo calibrates, or whether it measures."""
    return eighth_of(file) in _EIGHTHS[use]
