import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.gallery import clustering
from onelook.gallery.clustering import cluster_faces, label_connected_components
from onelook.gallery.data import GalleryMetadata
from onelook.open_set import ImpostorModel
from onelook.settings import DetectSettings

METADATA = GalleryMetadata(
    fingerprint="f",
    embedding_size=8,
    threshold=0.6,
    target_fpir=0.01,
    detect=DetectSettings(score=0.5, nms=0.4, longest_side=640),
    managed=False,
    unknown=ImpostorModel(mean=0.0, std=0.2, intercept=0.0, slope=1.0),
)


def sample_embeddings(seed: int, people: int, faces_each: int, noise: float, size: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.normal(size=(people, size)), faces_each, axis=0)
    rows = centers + noise * rng.normal(size=(people * faces_each, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def to_partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def union_find_components(rows: np.ndarray, threshold: float) -> np.ndarray:
    """Label connected components by union-find over all pairs."""
    parents = list(range(len(rows)))

    def find_root(i: int) -> int:
        while parents[i] != i:
            i = parents[i]
        return i

    for i in range(len(rows)):
        for j in range(i):
            if float(rows[i] @ rows[j]) >= threshold:
                parents[find_root(i)] = find_root(j)
    return np.array([find_root(i) for i in range(len(rows))])


def reference_clusters(rows: np.ndarray, weights: np.ndarray, metadata: GalleryMetadata) -> np.ndarray:
    labels = np.arange(len(rows))
    templates = rows
    while True:
        roots = union_find_components(templates, metadata.threshold_for(len(templates)))
        dense = {root: i for i, root in enumerate(sorted(set(roots.tolist())))}
        labels = np.array([dense[roots[label]] for label in labels])
        if len(dense) == len(templates):
            return labels
        sums = [(rows[labels == i].astype(float) * weights[labels == i, None]).sum(0) for i in range(len(dense))]
        templates = np.array([row / np.linalg.norm(row) for row in sums])


@given(st.integers(0, 1000), st.floats(0.1, 1.5))
def test_clusters_equal_those_of_brute_force_over_all_pairs(seed: int, noise: float) -> None:
    rows = sample_embeddings(seed, 5, 5, noise)
    weights = np.random.default_rng(seed).uniform(0.1, 1, len(rows))
    expected = to_partition(reference_clusters(rows, weights, METADATA))
    assert to_partition(cluster_faces(rows, weights, METADATA)) == expected


@given(st.integers(0, 1000))
def test_clusters_do_not_depend_on_order_or_block_size(seed: int) -> None:
    rows = sample_embeddings(seed, 6, 5, 0.6)
    weights = np.ones(len(rows))
    expected = cluster_faces(rows, weights, METADATA)
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = np.empty_like(expected)
    shuffled[order] = cluster_faces(rows[order], weights, METADATA)
    assert to_partition(shuffled) == to_partition(expected)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(clustering, "BLOCK_ROWS", 7)
        np.testing.assert_array_equal(cluster_faces(rows, weights, METADATA), expected)


def test_chain_is_one_component_and_threshold_is_inclusive() -> None:
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0, 1, 0, 0], [-0.5, -0.5, -0.5, -0.5]], np.float32)
    np.testing.assert_array_equal(label_connected_components(rows, 0.5), [0, 0, 0, 1])
    np.testing.assert_array_equal(label_connected_components(rows, 0.5001), [0, 1, 2, 3])


def test_well_separated_people_get_labels_in_order_of_first_face() -> None:
    rows = sample_embeddings(0, 4, 25, 0.1, size=64)
    metadata = METADATA.model_copy(update={"embedding_size": 64})
    order = np.random.default_rng(1).permutation(100)
    labels = cluster_faces(rows[order], np.ones(100), metadata)
    assert to_partition(labels) == to_partition(order // 25)
    first_faces = [int(np.flatnonzero(labels == label)[0]) for label in range(4)]
    assert labels[0] == 0 and first_faces == sorted(first_faces)


def test_second_round_merges_clusters_with_similar_templates_but_no_similar_faces() -> None:
    center, side = np.eye(8)[0], np.eye(8)[1]
    first_cluster = [center + 0.9 * axis for axis in np.eye(8)[2:5]]
    second_cluster = [center + 0.9 * axis + 0.4 * side for axis in np.eye(8)[5:8]]
    rows = np.array([row / np.linalg.norm(row) for row in first_cluster + second_cluster], np.float32)
    highest_between = max(float(a @ b) for a in rows[:3] for b in rows[3:])
    threshold = highest_between + 0.005
    assert min(float(a @ b) for a in rows[:3] for b in rows[:3]) >= threshold
    constant_threshold = METADATA.model_copy(update={"unknown": None, "threshold": threshold})
    assert len(set(label_connected_components(rows, threshold).tolist())) == 2
    np.testing.assert_array_equal(cluster_faces(rows, np.ones(6), constant_threshold), np.zeros(6))


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_faces(count: int) -> None:
    labels = cluster_faces(sample_embeddings(0, count, 1, 0), np.ones(count), METADATA)
    np.testing.assert_array_equal(labels, np.arange(count))
