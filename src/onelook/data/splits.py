"""Splits by person or, for detection-only data, by photo; enrollment splits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from onelook.data.manifest import Split
from onelook.errors import DataError
from onelook.settings import SplitFractions

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MIN_PER_SPLIT = 2
"""Fewest people of a split: identification needs at least two."""

Photo = TypeVar("Photo")


def split_people(names: Sequence[str], fractions: SplitFractions, rng: np.random.Generator) -> dict[str, Split]:
    """Assign each person to a split at random, in the ratio of `fractions`.

    - The result depends on the set of names and on `rng`, not on the order of `names`.
    - Counts are rounded by largest remainder; a split under `MIN_PER_SPLIT` is filled up from the largest.

    Raises:
        DataError: there are too few people for three splits.
    """
    return _assign(_unique_names(names, "person", "people"), fractions, rng)


def split_photos(names: Sequence[str], fractions: SplitFractions, rng: np.random.Generator) -> dict[str, Split]:
    """Assign each photo of a detection-only data set to a split at random.

    See `split_people` for the counts.

    Raises:
        DataError: there are too few photos for three splits.
    """
    return _assign(_unique_names(names, "photo", "photos"), fractions, rng)


def hold_out_validation(
    official: Mapping[str, Split], fractions: SplitFractions, rng: np.random.Generator
) -> dict[str, Split]:
    """Return an official split by person, completed by validation people.

    A split without validation people gives up training people at random, in the ratio of `fractions.validation` to
    `fractions.train`; every other person stays in the official split.

    Raises:
        DataError: a split has too few people.
    """
    if "validation" in official.values():
        check_splits(official.values())
        return dict(official)
    training = sorted(name for name, split in official.items() if split == "train")
    count = max(MIN_PER_SPLIT, round(len(training) * fractions.validation / (fractions.train + fractions.validation)))
    if len(training) < count + MIN_PER_SPLIT:
        raise DataError(f"{len(training)} training people: training and validation need at least {MIN_PER_SPLIT} each")
    held_out = {training[i] for i in rng.permutation(len(training))[:count]}
    owner: dict[str, Split] = {name: "validation" if name in held_out else split for name, split in official.items()}
    check_splits(owner.values())
    return owner


def check_splits(owners: Iterable[Split]) -> None:
    """Raise DataError if a split has too few people.

    Args:
        owners: the split of each person.
    """
    counts = Counter(owners)
    for split in SPLITS:
        if counts[split] < MIN_PER_SPLIT:
            raise DataError(
                f"{split}: {counts[split]} {'person' if counts[split] == 1 else 'people'} with photos, at least "
                f"{MIN_PER_SPLIT} are needed; add people"
            )


def split_enrollment(
    photos: Mapping[str, Sequence[Photo]], count: int, rng: np.random.Generator
) -> dict[str, tuple[list[Photo], list[Photo]]]:
    """Split each person's photos at random into enrollment photos and probes.

    At most `count` and at most half of a person's photos are for enrollment. A person with a single photo is therefore
    an impostor: in the probes, never enrolled.
    """
    split = {}
    for name in sorted(photos):
        own = photos[name]
        enrolled = set(rng.permutation(len(own))[: min(count, len(own) // 2)].tolist())
        split[name] = (
            [photo for i, photo in enumerate(own) if i in enrolled],
            [photo for i, photo in enumerate(own) if i not in enrolled],
        )
    return split


def _unique_names(names: Sequence[str], singular: str, plural: str) -> list[str]:
    """Return the sorted distinct names; raise DataError if they are too few."""
    unique = sorted(set(names))
    if len(unique) < MIN_PER_SPLIT * len(SPLITS):
        raise DataError(
            f"{len(unique)} {singular if len(unique) == 1 else plural}: train, validation and test need at least "
            f"{MIN_PER_SPLIT} {plural} each; add {plural}"
        )
    return unique


def _assign(names: Sequence[str], fractions: SplitFractions, rng: np.random.Generator) -> dict[str, Split]:
    counts = _split_counts(len(names), np.array([fractions.train, fractions.validation, fractions.test]))
    owners = np.repeat(np.arange(len(SPLITS)), counts)
    shuffled = rng.permutation(len(names))
    return {names[i]: SPLITS[owner] for i, owner in sorted(zip(shuffled, owners, strict=True))}


def _split_counts(total: int, fractions: np.ndarray) -> np.ndarray:
    exact = fractions * total
    counts = np.floor(exact + 1e-9).astype(int)
    by_remainder = np.argsort(-(exact - counts), kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    while counts.min() < MIN_PER_SPLIT:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts
