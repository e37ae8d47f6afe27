"""Random generators of the stages prepare and train, seeded by run, purpose and number.

A generator of its own for each purpose keeps the bytes of one output independent of the others. Two generators with
the same seed would draw the same numbers for two purposes: an order of training would then repeat a choice of prepare.
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
    SCENE_ORDER = 7
    SCENE_AUGMENTATION = 8
    FACE_ORDER = 9
    FACE_AUGMENTATION = 10
    STEP = 11


def make_rng(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """Return the generator of a stream.

    Args:
        seed: the run's seed.
        stream: purpose of the random numbers.
        index: numbers that separate generators of one stream, for instance the split and the scene. Give the same
            count of them in each call: trailing zeros do not separate.
    """
    return np.random.default_rng([seed, int(stream), *index])
