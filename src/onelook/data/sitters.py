"""Who can be put into composed scenes: people's photos with their faces, and people blended of two."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from onelook.data.blending import blend, blend_name
from onelook.data.portrait import Portrait
from onelook.data.scene import Face

MATES = 4096
"""Most people that blended people are made of: their pairs are numbered, and there are half its square."""


@dataclass(frozen=True, eq=False)
class Annotated:
    """A portrait and its faces, the person's first, in pixels of the photo as read."""

    portrait: Portrait
    faces: tuple[Face, ...]


@dataclass(frozen=True, eq=False)
class Sitter:
    """Someone to put into scenes.

    Attributes:
        identity, licence: who it is, and the terms of the photo.
        sit: reads the photo, RGB uint8 (H, W, 3), and gives its faces, the person's first.
    """

    identity: str
    licence: str
    sit: Callable[[], tuple[np.ndarray, tuple[Face, ...]]]


def sitter_of(item: Annotated) -> Sitter:
    """The person of a photo."""
    return Sitter(item.portrait.identity, item.portrait.licence, lambda: (item.portrait.read(), item.faces))


def blended_sitters(items: Sequence[Annotated], people: int, rng: np.random.Generator) -> list[Sitter]:
    """`people` blended people, each of another pair; as many photos of one as the pair's first has."""
    if people == 0:
        return []
    by_person: dict[str, list[Annotated]] = defaultdict(list)
    for item in items:
        by_person[item.portrait.identity].append(item)
    mates = sorted(by_person)
    if len(mates) > MATES:
        mates = [mates[i] for i in rng.permutation(len(mates))[:MATES]]
    drawn = rng.permutation(comb(len(mates), 2))[:people].tolist()
    wanted = set(drawn)
    pairs = {number: pair for number, pair in enumerate(combinations(mates, 2)) if number in wanted}
    sitters = []
    for number in drawn:
        firsts, seconds = (by_person[name] for name in pairs[number])
        order = rng.permutation(len(seconds))
        sitters += [_blended(first, seconds[order[i % len(order)]]) for i, first in enumerate(firsts)]
    return sitters


def _blended(first: Annotated, second: Annotated) -> Sitter:
    identity = blend_name(first.portrait.identity, second.portrait.identity)
    licences = dict.fromkeys((first.portrait.licence, second.portrait.licence))

    def sit() -> tuple[np.ndarray, tuple[Face, ...]]:
        photo, face = blend(first.portrait.read(), first.faces[0], second.portrait.read(), second.faces[0], identity)
        return photo, (face,)

    return Sitter(identity, "; ".join(licences), sit)
