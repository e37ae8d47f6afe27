"""Random generators of the stage prepare, seeded by run, purpose and number.

A generator of its own for each purpose keeps the bytes of one output independent of the others.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Purpose of a random generator; the value is part of its seed."""

    SPLIT = 1
    ENROLLMENT = 2
    SUBJECTS = 3
    SCENE = 4
    BLENDS = 5
    TURNS = 6


def make_rng(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """Return the generator of a stream.

    Args:
        seed: the run's seed.
        stream: purpose of the random numbers.
        index: numbers that separate generators of one stream, for instance the split and the scene.
    """
    return np.random.default_rng([seed, int(stream), *index])
