"""Groups of faces: against a union-find over all pairs, whatever the order, and as labels say on clear cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.gallery.data import GalleryMetadata
from onelook.media import clustering
from onelook.media.clustering import group_faces, join_similar
from onelook.open_set import ImpostorModel
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)
TERMS = GalleryMetadata(
    fingerprint="f",
    embedding_size=8,
    threshold=0.6,
    target_fpir=0.01,
    detect=DETECT,
    managed=False,
    unknown=ImpostorModel(mean=0.0, deviation=0.2, intercept=0.0, slope=1.0),
)


def crowd(seed: int, people: int, each: int, noise: float, size: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.normal(size=(people, size)), each, axis=0) + noise * rng.normal(size=(people * each, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def joined_by_hand(rows: np.ndarray, least: float) -> np.ndarray:
    """Union-find over every pair."""
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(rows)):
        for j in range(i):
            if float(rows[i] @ rows[j]) >= least:
                parent[root(i)] = root(j)
    return np.array([root(i) for i in range(len(rows))])


def grouped_by_hand(rows: np.ndarray, weights: np.ndarray, terms: GalleryMetadata) -> np.ndarray:
    groups = np.arange(len(rows))
    templates = rows
    while True:
        joined = joined_by_hand(templates, terms.threshold_for(len(templates)))
        names = {root: place for place, root in enumerate(sorted(set(joined.tolist())))}
        groups = np.array([names[joined[group]] for group in groups])
        if len(names) == len(templates):
            return groups
        sums = [(rows[groups == g].astype(float) * weights[groups == g, None]).sum(0) for g in range(len(names))]
        templates = np.array([each / np.linalg.norm(each) for each in sums])


@given(st.integers(0, 1000), st.floats(0.1, 1.5))
def test_the_groups_are_those_of_comparing_all_pairs(seed: int, noise: float) -> None:
    rows = crowd(seed, 5, 5, noise)
    weights = np.random.default_rng(seed).uniform(0.1, 1, len(rows))
    assert partition(group_faces(rows, weights, TERMS)) == partition(grouped_by_hand(rows, weights, TERMS))


@given(st.integers(0, 1000))
def test_neither_order_nor_block_size_matters(seed: int) -> None:
    rows = crowd(seed, 6, 5, 0.6)
    weights = np.ones(len(rows))
    expected = group_faces(rows, weights, TERMS)
    order = np.random.default_rng(seed).permutation(len(rows))
    mixed = np.empty_like(expected)
    mixed[order] = group_faces(rows[order], weights, TERMS)
    assert partition(mixed) == partition(expected)
    whole = clustering._BLOCK
    try:
        clustering._BLOCK = 7
        np.testing.assert_array_equal(group_faces(rows, weights, TERMS), expected)
    finally:
        clustering._BLOCK = whole


def test_a_chain_is_one_part_and_the_threshold_itself_connects() -> None:
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0, 1, 0, 0], [-0.5, -0.5, -0.5, -0.5]], np.float32)
    np.testing.assert_array_equal(join_similar(rows, 0.5), [0, 0, 0, 1])
    np.testing.assert_array_equal(join_similar(rows, 0.5001), [0, 1, 2, 3])


def test_people_far_apart_are_told_apart_and_numbered_as_they_come() -> None:
    rows = crowd(0, 4, 25, 0.1, size=64)
    terms = TERMS.model_copy(update={"embedding_size": 64})
    order = np.random.default_rng(1).permutation(100)
    labels = group_faces(rows[order], np.ones(100), terms)
    _, truth = np.unique(order // 25, return_inverse=True)
    assert partition(labels) == partition(truth)
    firsts = [int(np.flatnonzero(labels == label)[0]) for label in range(4)]
    assert labels[0] == 0 and firsts == sorted(firsts)


def test_groups_are_joined_where_their_templates_are_alike_though_no_faces_are() -> None:
    """Two people's worth of noise around one direction: the second round sees through it."""
    center, side = np.eye(8)[0], np.eye(8)[1]
    spread = [center + 0.9 * axis for axis in np.eye(8)[2:5]]
    other = [center + 0.9 * axis + 0.4 * side for axis in np.eye(8)[5:8]]
    rows = np.array([each / np.linalg.norm(each) for each in spread + other], np.float32)
    across = max(float(one @ two) for one in rows[:3] for two in rows[3:])
    least = across + 0.005
    assert min(float(one @ two) for one in rows[:3] for two in rows[:3]) >= least
    steady = TERMS.model_copy(update={"unknown": None, "threshold": least})
    assert len(set(join_similar(rows, least).tolist())) == 2
    np.testing.assert_array_equal(group_faces(rows, np.ones(6), steady), np.zeros(6))


@pytest.mark.parametrize("count", [0, 1])
def test_few_faces(count: int) -> None:
    np.testing.assert_array_equal(group_faces(crowd(0, count, 1, 0), np.ones(count), TERMS), np.arange(count))
