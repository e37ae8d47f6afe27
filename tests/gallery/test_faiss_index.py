"""Template search: flat, and IVF-PQ with re-ranking, against brute force."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.gallery.faiss_index import (
    MAX_FLAT_SIZE,
    MIN_GPU_SIZE,
    TemplateIndex,
    add_reranking,
    build_ivf_index,
    select_index,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_literal_example() -> None:
    rows = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    best = TemplateIndex(rows, ["b", "b", "a"]).search(np.asarray([[0.6, 0, 0.8], [1, 0, 0.1], [0, -1, 0]], np.float32))
    np.testing.assert_array_equal(best.indices, [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(best.similarities, [[0.8, 0.6 / 2**0.5], [2**-0.5, 0.1], [0, -(2**-0.5)]], atol=1e-7)


def test_a_missing_second_neighbor_has_index_minus_one() -> None:
    alone = TemplateIndex(np.asarray([[1, 0]], np.float32), ["a"]).search(np.asarray([[0.6, 0.8]], np.float32))
    np.testing.assert_array_equal(alone.indices, [[0, -1]])
    np.testing.assert_allclose(alone.similarities, [[0.6, -np.inf]], atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6), st.integers(1, 30))
def test_search_equals_brute_force_in_any_order_of_rows(seed: int, rows: int, people: int, probes: int) -> None:
    generator = np.random.default_rng(seed)
    enrolled = unit(generator.normal(size=(rows, 8)))
    owners = [f"p{number}" for number in generator.integers(0, people, rows)]
    asked = unit(generator.normal(size=(probes, 8)))
    means = {name: enrolled[[o == name for o in owners]].mean(axis=0) for name in set(owners)}
    similarities = {name: asked @ (mean / np.linalg.norm(mean)) for name, mean in means.items()}
    order = generator.permutation(rows)
    shuffled = TemplateIndex(enrolled[order], [owners[i] for i in order]).search(asked)
    index = TemplateIndex(enrolled, owners)
    found = index.search(asked)
    expected = np.sort(np.stack([similarities[name] for name in index.names], axis=1), axis=1)[:, ::-1]
    shown = min(2, len(index.names))
    np.testing.assert_allclose(found.similarities[:, :shown], expected[:, :shown], atol=1e-5)
    np.testing.assert_allclose(shuffled.similarities[:, :shown], expected[:, :shown], atol=1e-5)
    for row in range(probes):
        for place, value in zip(found.indices[row, :shown], found.similarities[row, :shown], strict=True):
            assert abs(similarities[index.names[place]][row] - value) < 1e-5


def crowd(count: int, seed: int) -> np.ndarray:
    """Templates of people who come in families, as faces do."""
    rng = np.random.default_rng(seed)
    families = rng.normal(size=(count // 50 + 1, 128))
    return unit(families[rng.integers(len(families), size=count)] + rng.normal(size=(count, 128)))


def photographed(rows: np.ndarray, seed: int) -> np.ndarray:
    """Another photo of each."""
    return unit(rows + 0.06 * np.random.default_rng(seed).normal(size=rows.shape))


@pytest.mark.parametrize(
    ("num_people", "num_gpus", "expected"),
    [
        (1, 0, "flat"),
        (MAX_FLAT_SIZE - 1, 0, "flat"),
        (MAX_FLAT_SIZE, 0, "ivf"),
        (1, 1, "flat"),
        (MIN_GPU_SIZE - 1, 1, "flat"),
        (MIN_GPU_SIZE, 1, "gpu"),
        (10**6, 8, "gpu"),
    ],
)
def test_index_by_people_and_cards(num_people: int, num_gpus: int, expected: str) -> None:
    assert select_index(num_people, num_gpus) == expected


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(40, 120), st.integers(1, 20))
def test_ivf_with_full_nprobe_equals_brute_force(seed: int, people: int, probes: int) -> None:
    rows = crowd(people, seed)
    asked = photographed(rows[:probes], seed)
    lists = build_ivf_index(rows)
    lists.nprobe = lists.nlist
    index = add_reranking(lists, rows)
    index.k_factor = people  # every template of every list
    similarities, places = index.search(asked, 2)
    expected = np.sort(asked @ rows.T, axis=1)[:, :-3:-1]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    np.testing.assert_allclose(similarities, (asked[:, None] * rows[places]).sum(axis=2), atol=1e-6)


def test_ivf_recall_against_flat_search_of_a_large_gallery() -> None:
    rows = crowd(MAX_FLAT_SIZE, 1)
    names = [f"{number:05d}" for number in range(len(rows))]
    asked = photographed(rows[::40], 2)
    large, flat = TemplateIndex(rows, names), TemplateIndex(rows[:-1], names[:-1])
    found, exact = large.search(asked), flat.search(asked)
    assert (found.indices[:, 0] == exact.indices[:, 0]).mean() >= 0.99
    assert (found.indices[:, 0] == np.arange(0, len(rows), 40)).mean() >= 0.99
    same = found.indices == exact.indices
    np.testing.assert_allclose(found.similarities[same], exact.similarities[same], atol=1e-6)
    assert (found.similarities[:, 0] >= found.similarities[:, 1]).all()
    alone = np.concatenate([large.search(asked[row : row + 1]).indices for row in range(20)])
    np.testing.assert_array_equal(alone, found.indices[:20])


def test_equal_rows_build_an_equal_ivf_index() -> None:
    rows = crowd(3000, 5)
    first, second = (faiss.serialize_index(build_ivf_index(rows)).tobytes() for _ in range(2))
    assert first == second
