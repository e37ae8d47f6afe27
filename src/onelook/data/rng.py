"""The random generators of `prepare`: each seeded by the run's seed, what it is for and, for a scene, its number.

So the same settings give the same bytes.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a random generator is for."""

    PEOPLE = 1
    ENROLLMENT = 2
    CAST = 3
    SCENE = 4
    BLENDS = 5


def make_rng(seed: int, draw: Stream, *index: int) -> np.random.Generator:
    """The generator of one draw; `index` tells draws of one kind apart."""
    return np.random.default_rng([seed, int(draw), *index])
