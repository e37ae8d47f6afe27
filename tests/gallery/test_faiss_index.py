"""Template search, against brute force, and the index by number of people."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.unit_rows import crowd, unit
from onelook.gallery import faiss_index
from onelook.gallery.faiss_index import MAX_FLAT_SIZE, MIN_GPU_SIZE, TemplateIndex, select_index
from onelook.gallery.faiss_library import faiss
from onelook.gallery.hard_probes import sample_hard_probes


def test_literal_example() -> None:
    rows = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    best = TemplateIndex(rows, ["b", "b", "a"]).search(np.asarray([[0.6, 0, 0.8], [1, 0, 0.1], [0, -1, 0]], np.float32))
    np.testing.assert_array_equal(best.indices, [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(best.similarities, [[0.8, 0.6 / 2**0.5], [2**-0.5, 0.1], [0, -(2**-0.5)]], atol=1e-7)


@pytest.mark.parametrize("probes", [np.eye(4, dtype=np.float32)[:1], np.zeros((1, 3), np.float32)])
def test_a_single_probe_leaves_the_number_of_threads(probes: np.ndarray) -> None:
    index = TemplateIndex.from_templates(["a", "b"], np.eye(2, 4, dtype=np.float32))
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        with suppress(AssertionError):  # a probe of another size
            index.search(probes)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


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


@pytest.mark.parametrize(
    ("num_people", "num_gpus", "expected"),
    [
        (1, 0, "flat"),
        (MAX_FLAT_SIZE - 1, 0, "flat"),
        (MAX_FLAT_SIZE, 0, "quantized"),
        (1, 1, "flat"),
        (MIN_GPU_SIZE - 1, 1, "flat"),
        (MIN_GPU_SIZE, 1, "gpu"),
        (10**6, 8, "gpu"),
    ],
)
def test_index_by_people_and_cards(num_people: int, num_gpus: int, expected: str) -> None:
    assert select_index(num_people, num_gpus) == expected


@pytest.fixture
def small_switch(monkeypatch: pytest.MonkeyPatch) -> int:
    """Use quantized search from a small number of people."""
    monkeypatch.setattr(faiss_index, "MAX_FLAT_SIZE", 2000)
    return 2000


def test_quantized_search_of_a_large_gallery_equals_flat_search(small_switch: int) -> None:
    rows = crowd(small_switch, 1)
    names = [f"{number:05d}" for number in range(len(rows))]
    probes = sample_hard_probes(rows, len(rows), np.random.default_rng(2))
    large, flat = TemplateIndex(rows, names), TemplateIndex(rows[:-1], names[:-1])
    assert (large.kind, flat.kind) == ("quantized", "flat")
    found, exact = large.search(probes), flat.search(probes)
    same = found.indices == exact.indices
    assert same[:, 0].mean() >= 0.995
    np.testing.assert_allclose(found.similarities[same], exact.similarities[same], atol=1e-6)
    assert (found.similarities[:, 0] >= found.similarities[:, 1]).all()
    alone = np.concatenate([large.search(probes[row : row + 1]).indices for row in range(20)])
    np.testing.assert_array_equal(alone, found.indices[:20])


def test_search_is_exact_where_quantized_templates_lose_matches(
    small_switch: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("onelook.gallery.quantized_index.TUNING_RECALL", 1.1)
    rows = crowd(small_switch, 3)
    index = TemplateIndex(rows, [f"{number:05d}" for number in range(len(rows))])
    assert index.kind == "flat" and "its search is exact" in caplog.text
