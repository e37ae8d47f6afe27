"""Who can be put into composed scenes: people's photos with their faces, and people blended of two."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from onelook.data.manifest import Face
from onelook.data.readers.identity_images import IdentityImage
from onelook.data.synthesis.blending import blend, blend_name

MATES = 4096
"""Most people that blended people are made of: their pairs are numbered, and there are half its square."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """A portrait and its faces, the person's first, in pixels of the photo as read."""

    portrait: IdentityImage
    faces: tuple[Face, ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """Someone to put into scenes.

    Attributes:
        identity, license: who it is, and the terms of the photo.
        sit: reads the photo, RGB uint8 (H, W, 3), and gives its faces, the person's first.
    """

    identity: str
    license: str
    sit: Callable[[], tuple[np.ndarray, tuple[Face, ...]]]


def subject_from_image(item: AnnotatedImage) -> Subject:
    """The person of a photo."""
    return Subject(item.portrait.identity, item.portrait.license, lambda: (item.portrait.read(), item.faces))


def blended_subjects(items: Sequence[AnnotatedImage], people: int, rng: np.random.Generator) -> list[Subject]:
    """`people` blended people, each of another pair; as many photos of one as the pair's first has."""
    if people == 0:
        return []
    by_person: dict[str, list[AnnotatedImage]] = defaultdict(list)
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


def _blended(first: AnnotatedImage, second: AnnotatedImage) -> Subject:
    identity = blend_name(first.portrait.identity, second.portrait.identity)
    licenses = dict.fromkeys((first.portrait.license, second.portrait.license))

    def sit() -> tuple[np.ndarray, tuple[Face, ...]]:
        photo, face = blend(first.portrait.read(), first.faces[0], second.portrait.read(), second.faces[0], identity)
        return photo, (face,)

    return Subject(identity, "; ".join(licenses), sit)
