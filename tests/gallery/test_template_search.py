"""Templates and the exact search over them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.gallery.search import TemplateIndex, templates


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_by_hand() -> None:
    rows = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    names, found = templates(rows, ["b", "b", "a"])
    assert names == ["a", "b"]
    np.testing.assert_allclose(found, [[0, 0, 1], [2**-0.5, 2**-0.5, 0]], atol=1e-7)
    best = TemplateIndex(rows, ["b", "b", "a"]).best(np.asarray([[0.6, 0, 0.8], [0.8, 0, 0.6], [0, -1, 0]], np.float32))
    assert [name for name, _ in best] == ["a", "a", "a"]
    np.testing.assert_allclose([value for _, value in best], [0.8, 0.6, 0], atol=1e-7)


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
    shuffled = TemplateIndex(enrolled[order], [owners[i] for i in order]).best(asked)
    for i, (name, value) in enumerate(TemplateIndex(enrolled, owners).best(asked)):
        assert abs(value - max(values[i] for values in similarities.values())) < 1e-5
        assert abs(similarities[name][i] - value) < 1e-5
        assert abs(shuffled[i][1] - value) < 1e-6
