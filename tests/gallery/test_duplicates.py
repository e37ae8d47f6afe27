"""Duplicate people."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.face_templates import make_person_templates
from onelook.gallery.duplicates import DuplicatePair, find_duplicates


def find(
    rows: np.ndarray, owners: list[str], threshold: float, names: Iterable[str], weights: list[float] | None = None
) -> tuple[DuplicatePair, ...]:
    people, templates = make_person_templates(
        rows.astype(np.float32), owners, None if weights is None else np.asarray(weights)
    )
    return find_duplicates(people, templates, threshold, names)


def test_literal_example() -> None:
    rows = np.asarray([[1, 0], [0.6, 0.8], [0, 1]])
    owners = ["Anna", "Ann", "Bob"]
    # Anna and Ann: 0.6, which is the threshold; Ann and Bob: 0.8; Anna and Bob: 0.
    assert [(p.name, p.other, round(p.similarity, 6)) for p in find(rows, owners, 0.6, ["Ann"])] == [
        ("Ann", "Bob", 0.8),
        ("Ann", "Anna", 0.6),
    ]
    assert [(p.name, p.other) for p in find(rows, owners, 0.6, ["Anna"])] == [("Anna", "Ann")]
    assert find(rows, owners, 0.6, []) == ()
    assert find(rows, owners, 0.6, ["forgotten meanwhile"]) == ()


def test_a_row_without_a_person_is_nobodys_duplicate() -> None:
    rows = np.asarray([[1, 0], [0, 0], [0.6, 0.8]], np.float32)
    assert [pair.other for pair in find_duplicates(["Anna", None, "Bob"], rows, -1, ["Anna"])] == ["Bob"]


def test_templates_are_weighted_by_quality() -> None:
    rows = np.asarray([[1, 0], [0, 1], [0, 1]])
    owners = ["Anna", "Anna", "Bob"]
    # Anna's template is (1, 1) or (1, 3) brought to length 1.
    even, uneven = (find(rows, owners, 0, ["Bob"], w)[0] for w in ([0.3, 0.3, 1], [0.3, 0.9, 1]))
    assert round(even.similarity, 5) == round(1 / 2**0.5, 5)
    assert round(uneven.similarity, 5) == round(3 / 10**0.5, 5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.floats(-0.5, 0.9), st.sets(st.integers(0, 5)))
def test_duplicates_equal_brute_force(seed: int, faces: int, threshold: float, asked: set[int]) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(faces, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    owners = [f"p{i}" for i in rng.integers(0, 6, faces)]
    names = {f"p{i}" for i in asked} & set(owners)
    means = {name: rows[[owner == name for owner in owners]].mean(axis=0) for name in set(owners)}
    unit = {name: mean / np.linalg.norm(mean) for name, mean in means.items()}
    expected = {
        frozenset((one, other))
        for one in names
        for other in unit
        if one != other and unit[one] @ unit[other] >= threshold
    }
    found = find(rows, owners, threshold, names)
    near = {
        frozenset((one, other)) for one in names for other in unit if abs(unit[one] @ unit[other] - threshold) < 1e-6
    }
    assert len(found) == len({frozenset((p.name, p.other)) for p in found}), "a pair comes once"
    assert {frozenset((p.name, p.other)) for p in found} ^ expected <= near
    assert all(p.name in names for p in found)
