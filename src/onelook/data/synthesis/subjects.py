"""Subjects of composed scenes: annotated photos and blended identities."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from onelook.data.manifest import Face
from onelook.data.readers.identity_images import IdentityImage
from onelook.data.synthesis.blending import blend, blend_name

MAX_BLENDED_PEOPLE = 4096
"""Limit on the people to blend, as the number of their pairs grows with its square."""


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """Identity image with its faces.

    Attributes:
        image: the image.
        faces: faces in pixels of the image as read; the first is the identity's.
    """

    image: IdentityImage
    faces: tuple[Face, ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """Face to place in composed scenes.

    Attributes:
        identity, license: name of the identity, and the terms of the image.
        read: reads the image, RGB (height, width, 3) uint8, with its faces; the first is the identity's.
    """

    identity: str
    license: str
    read: Callable[[], tuple[np.ndarray, tuple[Face, ...]]]


def subject_from_image(item: AnnotatedImage) -> Subject:
    """Return the subject of an annotated image."""
    return Subject(item.image.identity, item.image.license, lambda: (item.image.read(), item.faces))


def blended_subjects(items: Sequence[AnnotatedImage], count: int, rng: np.random.Generator) -> list[Subject]:
    """Blend random pairs of people.

    Args:
        items: images of the people to blend.
        count: number of blended identities, each of another pair.
        rng: random number generator.

    Returns:
        The subjects: for each pair as many images as its first person has.
    """
    if count == 0:
        return []
    by_person: dict[str, list[AnnotatedImage]] = defaultdict(list)
    for item in items:
        by_person[item.image.identity].append(item)
    names = sorted(by_person)
    if len(names) > MAX_BLENDED_PEOPLE:
        names = [names[i] for i in rng.permutation(len(names))[:MAX_BLENDED_PEOPLE]]
    pair_numbers = rng.permutation(comb(len(names), 2))[:count].tolist()
    sampled = set(pair_numbers)
    pairs = {number: pair for number, pair in enumerate(combinations(names, 2)) if number in sampled}
    subjects = []
    for number in pair_numbers:
        firsts, seconds = (by_person[name] for name in pairs[number])
        order = rng.permutation(len(seconds))
        subjects += [_blended_subject(first, seconds[order[i % len(order)]]) for i, first in enumerate(firsts)]
    return subjects


def _blended_subject(first: AnnotatedImage, second: AnnotatedImage) -> Subject:
    identity = blend_name(first.image.identity, second.image.identity)
    licenses = dict.fromkeys((first.image.license, second.image.license))

    def read() -> tuple[np.ndarray, tuple[Face, ...]]:
        image, face = blend(first.image.read(), first.faces[0], second.image.read(), second.faces[0], identity)
        return image, (face,)

    return Subject(identity, "; ".join(licenses), read)
