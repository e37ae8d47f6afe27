"""Quantized search with exact re-ranking, against brute force."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.unit_rows import crowd
from onelook.gallery import quantized_index
from onelook.gallery.hard_probes import add_noise
from onelook.gallery.quantized_index import MAX_CANDIDATES, MIN_CANDIDATES, QuantizedIndex, build_quantized_index


def hard_probes(rows: np.ndarray, seed: int) -> np.ndarray:
    """Return a probe of each row; the noise is the difference of two other rows."""
    rng = np.random.default_rng(seed)
    return add_noise(rows, rng.permutation(rows) - rng.permutation(rows), rng)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(40, 120), st.integers(1, 20))
def test_search_of_all_candidates_equals_brute_force(seed: int, people: int, count: int) -> None:
    rows = crowd(people, seed)
    probes = hard_probes(rows, seed)[:count]
    similarities, indices = QuantizedIndex(rows, people).search(probes, 3)
    expected = probes @ rows.T
    np.testing.assert_allclose(similarities, np.sort(expected, axis=1)[:, :-4:-1], atol=1e-6)
    np.testing.assert_allclose(similarities, np.take_along_axis(expected, indices, axis=1), atol=1e-6)


def test_candidates_are_ranked_by_their_exact_similarities() -> None:
    rows = crowd(2000, 1)
    probes = hard_probes(rows, 2)[:70]
    index = QuantizedIndex(rows, 8)
    similarities, indices = index.search(probes, 2)
    candidates = index.codes.search(probes, 8)[1]
    exact = np.take_along_axis(probes @ rows.T, candidates, axis=1)
    order = np.argsort(-exact, axis=1)[:, :2]
    np.testing.assert_array_equal(indices, np.take_along_axis(candidates, order, axis=1))
    np.testing.assert_allclose(similarities, np.take_along_axis(exact, order, axis=1), atol=1e-6)
    alone = [index.search(probe[None], 2)[1][0] for probe in probes[:10]]
    np.testing.assert_array_equal(alone, indices[:10])


def test_chosen_candidates_recall_hard_probes() -> None:
    rows = crowd(4000, 0)
    probes = hard_probes(rows, 1)
    index = build_quantized_index(rows)
    assert index is not None and MIN_CANDIDATES < index.candidates <= 2 * MAX_CANDIDATES
    found = index.search(probes, 1)[1][:, 0]
    assert (found == (probes @ rows.T).argmax(axis=1)).mean() >= 0.995


def test_more_candidates_are_chosen_where_few_lose_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = crowd(1000, 3)
    monkeypatch.setattr(quantized_index, "MIN_CANDIDATES", 1)  # the best code alone is often not the best template
    index = build_quantized_index(rows)
    assert index is not None and index.candidates > 2


def test_fewer_people_than_neighbors() -> None:
    rows = crowd(20, 4)
    similarities, indices = QuantizedIndex(rows, 64).search(rows[:2], 30)
    assert (np.sort(indices[:, :20], axis=1) == np.arange(20)).all() and (indices[:, 20:] == -1).all()
    assert (similarities[:, 20:] == -np.inf).all()
    assert QuantizedIndex(rows, 64).search(rows[:0], 2)[1].shape == (0, 2)


def test_equal_rows_build_an_equal_index() -> None:
    rows = crowd(3000, 5)
    first, second = (faiss.serialize_index(QuantizedIndex(rows, 64).codes).tobytes() for _ in range(2))
    assert first == second


def test_later_changes_of_the_rows_have_no_effect() -> None:
    rows = crowd(100, 6)
    index, probes = QuantizedIndex(rows, 64), rows[:5].copy()
    rows[:] = 0
    np.testing.assert_allclose(index.search(probes, 1)[0][:, 0], 1, atol=1e-6)
