"""Splits by person, or by photo where nobody has a name, and which photos of a person enroll them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from onelook.data.manifest import Split
from onelook.errors import DataError
from onelook.settings import SplitFractions

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
FEWEST = 2
"""People a split needs: with one alone there is nobody to tell apart."""

Photo = TypeVar("Photo")


def split_people(names: Sequence[str], shares: SplitFractions, rng: np.random.Generator) -> dict[str, Split]:
    """Put each person into one split; the outcome depends on the set of names and `rng` alone.

    Counts are the shares rounded by largest remainder, then raised to FEWEST where needed from the largest split.

    Raises:
        DataError: there are too few people for three splits.
    """
    return _divide(_enough(names, "person", "people"), shares, rng)


def split_photos(names: Sequence[str], shares: SplitFractions, rng: np.random.Generator) -> dict[str, Split]:
    """Put each photo into one split, where nobody in them has a name; otherwise as `split_people`.

    Raises:
        DataError: there are too few photos for three splits.
    """
    return _divide(_enough(names, "photo", "photos"), shares, rng)


def hold_out_validation(
    official: Mapping[str, Split], shares: SplitFractions, rng: np.random.Generator
) -> dict[str, Split]:
    """A data set's own split; without validation people, some of its training people are held out as such.

    They are held out in the ratio of the shares. Otherwise everyone stays where they are, whatever the shares.

    Raises:
        DataError: a split has too few people.
    """
    if "validation" in official.values():
        check_splits(official.values())
        return dict(official)
    training = sorted(name for name, split in official.items() if split == "train")
    count = max(FEWEST, round(len(training) * shares.validation / (shares.train + shares.validation)))
    if len(training) < count + FEWEST:
        raise DataError(f"{len(training)} training people: training and validation need at least {FEWEST} each")
    held = {training[i] for i in rng.permutation(len(training))[:count]}
    owner: dict[str, Split] = {name: "validation" if name in held else split for name, split in official.items()}
    check_splits(owner.values())
    return owner


def check_splits(owners: Iterable[Split]) -> None:
    """Raise DataError where a split, of one entry a person, has too few people."""
    counts = Counter(owners)
    for split in SPLITS:
        if counts[split] < FEWEST:
            raise DataError(
                f"{split}: {counts[split]} {'person' if counts[split] == 1 else 'people'} with photos, at least "
                f"{FEWEST} are needed; add people"
            )


def choose_enrollment(
    photos: Mapping[str, Sequence[Photo]], count: int, rng: np.random.Generator
) -> dict[str, tuple[list[Photo], list[Photo]]]:
    """Divide each person's photos into those that enroll them and those they are looked for in (the probes).

    At most `count` and at most half of a person's photos enroll them, so a person with a single photo is a stranger: in
    the probes, never enrolled. No photo is in both.
    """
    divided = {}
    for name in sorted(photos):
        own = photos[name]
        enrolled = set(rng.permutation(len(own))[: min(count, len(own) // 2)].tolist())
        divided[name] = (
            [photo for i, photo in enumerate(own) if i in enrolled],
            [photo for i, photo in enumerate(own) if i not in enrolled],
        )
    return divided


def _enough(names: Sequence[str], one: str, many: str) -> list[str]:
    """The names sorted, each once, if they suffice for three splits."""
    kept = sorted(set(names))
    if len(kept) < FEWEST * len(SPLITS):
        raise DataError(
            f"{len(kept)} {one if len(kept) == 1 else many}: train, validation and test need at least {FEWEST} {many} "
            f"each; add {many}"
        )
    return kept


def _divide(names: Sequence[str], shares: SplitFractions, rng: np.random.Generator) -> dict[str, Split]:
    counts = _counts(len(names), np.array([shares.train, shares.validation, shares.test]))
    owners = np.repeat(np.arange(len(SPLITS)), counts)
    shuffled = rng.permutation(len(names))
    return {names[i]: SPLITS[owner] for i, owner in sorted(zip(shuffled, owners, strict=True))}


def _counts(total: int, shares: np.ndarray) -> np.ndarray:
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(int)
    by_remainder = np.argsort(-(exact - counts), kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    while counts.min() < FEWEST:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts
