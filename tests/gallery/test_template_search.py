"""Templates and the search over them: flat, and by inverted lists."""

import faiss
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.gallery.faiss_index import MOST_FLAT, TemplateIndex, list_index, templates, with_second_look


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_by_hand() -> None:
    rows = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    names, found = templates(rows, ["b", "b", "a"])
    assert names == ["a", "b"]
    np.testing.assert_allclose(found, [[0, 0, 1], [2**-0.5, 2**-0.5, 0]], atol=1e-7)
    best = TemplateIndex(rows, ["b", "b", "a"]).search(np.asarray([[0.6, 0, 0.8], [1, 0, 0.1], [0, -1, 0]], np.float32))
    np.testing.assert_array_equal(best.places, [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(best.similarities, [[0.8, 0.6 / 2**0.5], [2**-0.5, 0.1], [0, -(2**-0.5)]], atol=1e-7)


def test_the_second_of_one_person_is_nobody() -> None:
    alone = TemplateIndex(np.asarray([[1, 0]], np.float32), ["a"]).search(np.asarray([[0.6, 0.8]], np.float32))
    np.testing.assert_array_equal(alone.places, [[0, -1]])
    np.testing.assert_allclose(alone.similarities, [[0.6, -np.inf]], atol=1e-7)


def test_one_photo_is_its_own_template() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(5, 128)))
    _, found = templates(rows, list("abcde"))
    np.testing.assert_allclose(found, rows, rtol=3e-7)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6), st.integers(1, 30))
def test_as_brute_force_and_whatever_the_order(seed: int, rows: int, people: int, probes: int) -> None:
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
        for place, value in zip(found.places[row, :shown], found.similarities[row, :shown], strict=True):
            assert abs(similarities[index.names[place]][row] - value) < 1e-5


def crowd(count: int, seed: int) -> np.ndarray:
    """Templates of people who come in families, as faces do."""
    rng = np.random.default_rng(seed)
    families = rng.normal(size=(count // 50 + 1, 128))
    return unit(families[rng.integers(len(families), size=count)] + rng.normal(size=(count, 128)))


def photographed(rows: np.ndarray, seed: int) -> np.ndarray:
    """Another photo of each."""
    return unit(rows + 0.06 * np.random.default_rng(seed).normal(size=rows.shape))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(40, 120), st.integers(1, 20))
def test_lists_that_are_all_visited_hold_what_brute_force_finds(seed: int, people: int, probes: int) -> None:
    rows = crowd(people, seed)
    asked = photographed(rows[:probes], seed)
    lists = list_index(rows)
    lists.nprobe = lists.nlist
    index = with_second_look(lists, rows)
    index.k_factor = people  # every template of every list
    similarities, places = index.search(asked, 2)
    expected = np.sort(asked @ rows.T, axis=1)[:, :-3:-1]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    np.testing.assert_allclose(similarities, (asked[:, None] * rows[places]).sum(axis=2), atol=1e-6)


def test_a_large_gallery_lies_in_lists_and_finds_nearly_all_that_flat_search_finds() -> None:
    rows = crowd(MOST_FLAT, 1)
    names = [f"{number:05d}" for number in range(len(rows))]
    asked = photographed(rows[::40], 2)
    large, flat = TemplateIndex(rows, names), TemplateIndex(rows[:-1], names[:-1])
    found, exact = large.search(asked), flat.search(asked)
    assert (found.places[:, 0] == exact.places[:, 0]).mean() >= 0.99
    assert (found.places[:, 0] == np.arange(0, len(rows), 40)).mean() >= 0.99
    same = found.places == exact.places
    np.testing.assert_allclose(found.similarities[same], exact.similarities[same], atol=1e-6)
    assert (found.similarities[:, 0] >= found.similarities[:, 1]).all()
    alone = np.concatenate([large.search(asked[row : row + 1]).places for row in range(20)])
    np.testing.assert_array_equal(alone, found.places[:20])


def test_the_same_rows_make_the_same_lists() -> None:
    rows = crowd(3000, 5)
    first, second = (faiss.serialize_index(list_index(rows)).tobytes() for _ in range(2))
    assert first == second
