import numpy as np
import pytest
import torch

from onelook.geometry.mesh import NUM_VERTICES, edges
from onelook.model.mesh_decoder import ChebyshevConv, rescaled_laplacian

# A triangle with a tail.
SIDES = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])


def test_two_vertices_by_hand() -> None:
    """L = [[1, -1], [-1, 1]] has the eigenvalues 0 and 2, so that L - 1 is left."""
    np.testing.assert_allclose(rescaled_laplacian(np.array([[0, 1]]), 2), [[0, -1], [-1, 0]], atol=1e-12)


@pytest.mark.parametrize(("sides", "count"), [(SIDES, 4), (edges(), NUM_VERTICES)])
def test_its_eigenvalues_lie_between_minus_1_and_1_and_reach_both(sides: np.ndarray, count: int) -> None:
    values = np.linalg.eigvalsh(rescaled_laplacian(sides, count))
    np.testing.assert_allclose([values[0], values[-1]], [-1, 1], atol=1e-9)


@pytest.mark.parametrize("terms", [1, 2, 3, 5])
def test_it_is_the_polynomial_of_the_eigenvalues(terms: int) -> None:
    """T_k(L) = U cos(k arccos(l)) U', by the eigenvectors U and values l of L."""
    laplacian = rescaled_laplacian(SIDES, 4)
    values, vectors = np.linalg.eigh(laplacian)
    conv = ChebyshevConv(2, 3, torch.from_numpy(laplacian), terms=terms).double()
    x = torch.randn(5, 4, 2, dtype=torch.float64)
    wanted = conv.mix.bias.expand(5, 4, 3)
    for term, weight in enumerate(conv.mix.weight.split(2, dim=1)):
        chebyshev = vectors @ np.diag(np.cos(term * np.arccos(values.clip(-1, 1)))) @ vectors.T
        wanted = wanted + torch.from_numpy(chebyshev) @ x @ weight.T
    torch.testing.assert_close(conv(x), wanted)


def test_k_terms_see_no_farther_than_k_minus_1_edges() -> None:
    conv = ChebyshevConv(1, 1, torch.from_numpy(rescaled_laplacian(SIDES, 4)).float(), terms=2)
    x = torch.zeros(1, 4, 1, requires_grad=True)
    conv(x)[0, 3, 0].backward()
    assert x.grad is not None
    assert (x.grad[0, :, 0] != 0).tolist() == [False, False, True, True]


def test_the_graph_is_not_saved_with_the_weights() -> None:
    assert set(ChebyshevConv(1, 1, torch.zeros(2, 2), terms=2).state_dict()) == {"mix.weight", "mix.bias"}
