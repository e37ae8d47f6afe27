"""Splits by person and the choice of enrollment photos."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onelook.data.splits import MIN_PER_SPLIT, SPLITS, hold_out_validation, split_enrollment, split_people, split_photos
from onelook.errors import DataError
from onelook.settings import SplitFractions

DEFAULT = SplitFractions(train=0.6, validation=0.15, test=0.25)


def names(count: int) -> list[str]:
    return [f"person {i:03d}" for i in range(count)]


def counts(count: int, fractions: SplitFractions = DEFAULT) -> tuple[int, ...]:
    found = Counter(split_people(names(count), fractions, np.random.default_rng(0)).values())
    return tuple(found[split] for split in SPLITS)


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (40, (24, 6, 10)),  # exact
        (41, (25, 6, 10)),  # 24.6, 6.15, 10.25: the remainder of train is the largest
        (43, (26, 6, 11)),  # 25.8, 6.45, 10.75: train and test
        (6, (2, 2, 2)),
        (8, (4, 2, 2)),  # 4.8, 1.2, 2.0 rounds to 5, 1, 2; validation is raised from train
    ],
)
def test_counts_are_rounded_by_largest_remainder(people: int, expected: tuple[int, ...]) -> None:
    assert counts(people) == expected


@given(st.integers(6, 80), st.floats(0.05, 0.9), st.floats(0.05, 0.9), st.integers(0, 5))
def test_everyone_is_in_exactly_one_split_and_no_split_is_too_small(
    people: int, train: float, validation: float, seed: int
) -> None:
    assume(train + validation < 0.95)
    fractions = SplitFractions(train=train, validation=validation, test=1 - train - validation)
    owner = split_people(names(people), fractions, np.random.default_rng(seed))
    assert sorted(owner) == names(people)
    found = Counter(owner.values())
    assert min(found[split] for split in SPLITS) >= MIN_PER_SPLIT
    for split in SPLITS:
        exact = getattr(fractions, split) * people
        assert abs(found[split] - exact) < 1 or found[split] == MIN_PER_SPLIT or min(found.values()) == MIN_PER_SPLIT


def test_the_split_depends_on_names_and_seed_not_on_order_or_repeats() -> None:
    once = split_people(names(40), DEFAULT, np.random.default_rng(1))
    assert split_people(names(40)[::-1] * 2, DEFAULT, np.random.default_rng(1)) == once
    assert split_people(names(40), DEFAULT, np.random.default_rng(2)) != once


def test_too_few_people_are_refused() -> None:
    with pytest.raises(DataError, match="5 people: train, validation and test need at least 2 people each"):
        split_people(names(5), DEFAULT, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"^1 person: "):
        split_people(["ann"], DEFAULT, np.random.default_rng(0))


def test_an_official_split_with_validation_people_is_unchanged() -> None:
    official = {f"{split} {i}": split for split, count in zip(SPLITS, (9, 2, 3), strict=True) for i in range(count)}
    assert hold_out_validation(official, DEFAULT, np.random.default_rng(0)) == official
    del official["validation 1"]
    with pytest.raises(DataError, match="validation: 1 person with photos, at least 2 are needed"):
        hold_out_validation(official, DEFAULT, np.random.default_rng(0))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 8), st.integers(0, 9))
def test_enrollment_takes_at_most_the_count_and_half_and_shares_nothing(
    photos: list[int], count: int, seed: int
) -> None:
    own = {f"p{i}": [f"{i}/{j}" for j in range(n)] for i, n in enumerate(photos)}
    divided = split_enrollment(own, count, np.random.default_rng(seed))
    for name, (enrolled, probes) in divided.items():
        assert len(enrolled) == min(count, len(own[name]) // 2)
        assert sorted(enrolled + probes) == sorted(own[name])


def test_a_person_with_one_photo_is_an_impostor() -> None:
    assert split_enrollment({"ann": ["only"]}, 5, np.random.default_rng(0)) == {"ann": ([], ["only"])}


def test_enrollment_photos_are_sampled_at_random() -> None:
    own = {"ann": list(range(10))}
    drawn = {tuple(split_enrollment(own, 5, np.random.default_rng(seed))["ann"][0]) for seed in range(20)}
    assert len(drawn) > 10


def test_photos_without_names_are_divided_as_people_are() -> None:
    found = Counter(split_photos(names(41), DEFAULT, np.random.default_rng(0)).values())
    assert tuple(found[split] for split in SPLITS) == (25, 6, 10)
    with pytest.raises(DataError, match="1 photo: train, validation and test need at least 2 photos each"):
        split_photos(names(1), DEFAULT, np.random.default_rng(0))
