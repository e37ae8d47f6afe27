import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD

from onelook.data.principal_components import project_to_components
from onelook.errors import DataError


def make_embeddings(count: int, rank: int, length: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    rows = rng.normal(0.2, 1, (count, rank)) * np.linspace(2, 0.5, rank) @ rng.normal(0, 1, (rank, length))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_embeddings_of_low_rank_keep_their_cosines() -> None:
    embeddings = make_embeddings(60, rank=5, length=40)
    projected = project_to_components(embeddings, 5)
    assert projected.shape == (60, 5) and projected.dtype == np.float32
    np.testing.assert_allclose(projected @ projected.T, embeddings @ embeddings.T, atol=1e-5)


def test_components_are_those_of_the_singular_value_decomposition() -> None:
    embeddings = make_embeddings(60, rank=20, length=40)
    expected = TruncatedSVD(4, algorithm="arpack").fit(embeddings).transform(embeddings)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    projected = project_to_components(embeddings, 4)
    signs = np.sign((projected * expected).sum(axis=0))
    np.testing.assert_allclose(projected * signs, expected, atol=1e-4)


def test_signs_do_not_depend_on_the_order_of_faces() -> None:
    embeddings = make_embeddings(60, rank=20, length=40)
    order = np.random.default_rng(1).permutation(60)
    shuffled = project_to_components(embeddings[order], 4)
    np.testing.assert_allclose(shuffled, project_to_components(embeddings, 4)[order], atol=1e-4)


@pytest.mark.parametrize(("count", "length", "dim"), [(60, 8, 9), (6, 40, 7), (0, 0, 1)])
def test_more_components_than_numbers_or_faces_are_refused(count: int, length: int, dim: int) -> None:
    with pytest.raises(DataError, match=r"teacher\.dim"):
        project_to_components(np.ones((count, length), np.float32), dim)
