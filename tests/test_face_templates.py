import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.face_templates import make_person_templates, make_templates, normalize_sums


def random_directions(count: int, seed: int, dim: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 5))
def test_templates_equal_brute_force(seed: int, rows: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, weights = random_directions(rows, seed), rng.uniform(0.01, 1, rows)
    identities = [f"p{number}" for number in rng.integers(0, people, rows)]
    names, templates = make_person_templates(embeddings, identities, weights)
    assert names == sorted(set(identities)) and templates.dtype == np.float32
    for name, template in zip(names, templates, strict=True):
        total = [0.0] * 8
        for embedding, weight, identity in zip(embeddings.tolist(), weights, identities, strict=True):
            if identity == name:
                total = [a + weight * b for a, b in zip(total, embedding, strict=True)]
        length = sum(value**2 for value in total) ** 0.5
        np.testing.assert_allclose(template, [value / length for value in total], atol=1e-6)


def test_templates_by_hand() -> None:
    names, templates = make_person_templates(np.eye(3, dtype=np.float32), ["b", "b", "a"])
    assert names == ["a", "b"]
    np.testing.assert_allclose(templates, [[0, 0, 1], [2**-0.5, 2**-0.5, 0]], atol=1e-7)


def test_a_single_embedding_is_its_own_template_whatever_its_weight() -> None:
    rows = random_directions(5, 0, dim=128)
    for weights in (None, np.array([1.0, 0.5, 0.1, 0.01, 1e-3])):
        _, templates = make_person_templates(rows, list("abcde"), weights)
        np.testing.assert_allclose(templates, rows, rtol=3e-7)


def test_equal_weights_are_the_default_and_their_scale_does_not_matter() -> None:
    rows, groups = random_directions(9, 1), np.arange(9) % 3
    expected = make_templates(rows, groups, 3)
    np.testing.assert_allclose(make_templates(rows, groups, 3, np.full(9, 0.3)), expected, atol=1e-7)


def test_a_low_weight_counts_little() -> None:
    rows = np.eye(2, dtype=np.float32)
    template = make_templates(rows, np.zeros(2, np.int64), 1, np.array([1.0, 0.1]))[0]
    assert template[1] / template[0] == pytest.approx(0.1)


def test_an_empty_group_has_a_zero_template() -> None:
    np.testing.assert_array_equal(make_templates(np.eye(2, dtype=np.float32), np.zeros(2, np.int64), 2)[1], [0, 0])


def test_normalize_sums_takes_one_row_or_many() -> None:
    np.testing.assert_allclose(normalize_sums(np.array([3.0, 4.0])), [0.6, 0.8])
    np.testing.assert_allclose(normalize_sums(np.array([[3.0, 4.0], [0, 2]])), [[0.6, 0.8], [0, 1]])
