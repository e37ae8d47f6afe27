import numpy as np
import pytest
import torch

from helpers.domes import dome, painted
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, edges
from onelook.model.mesh_decoder import ChebyshevConv, MeshDecoder, rescaled_laplacian

# A triangle with a tail.
EDGES = np.array([[0, 1], [0, 2], [1, 2], [2, 3]])


def make_decoder() -> MeshDecoder:
    """Return a decoder whose mean is a dome; the first parameter makes it wider, the second redder."""
    torch.manual_seed(0)
    decoder = MeshDecoder()
    shape = torch.from_numpy(dome()).float()
    mean = torch.cat([shape, torch.from_numpy(painted(dome())).float()], 1)
    components = torch.zeros(NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS)
    components[0, :, 0] = shape[:, 0]
    components[1, :, 3] = 1
    std = torch.zeros(NUM_SHAPE_PARAMETERS)
    std[:2] = torch.tensor([0.5, 0.1])
    decoder.set_morphable_model(mean, components, std)
    return decoder


def test_untrained_decoder_is_the_linear_model() -> None:
    decoder = make_decoder()
    parameters = torch.zeros(2, NUM_SHAPE_PARAMETERS)
    parameters[1, :3] = torch.tensor([2.0, -1, 5])
    meshes = decoder(parameters)
    torch.testing.assert_close(meshes[0], decoder.mean)
    expected = decoder.mean.clone()
    expected[:, 0] *= 2  # two standard deviations of a half
    expected[:, 3] -= 0.1
    torch.testing.assert_close(meshes[1], expected)


def test_correction_fits_shapes_outside_the_linear_model() -> None:
    """A dent around one vertex is no combination of the components."""
    decoder = make_decoder()
    target = decoder.mean.clone()[None]
    target[0, :, 2] += torch.exp(-20 * (target[0, :, :2] - target[0, 1, :2]).square().sum(-1))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)

    def loss() -> torch.Tensor:
        return (decoder(torch.zeros(1, NUM_SHAPE_PARAMETERS)) - target).square().mean()

    before = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.3 * before


def test_morphable_model_is_saved_and_the_graph_is_not() -> None:
    decoder, loaded = make_decoder(), MeshDecoder()
    loaded.load_state_dict(decoder.state_dict())
    parameters = torch.randn(2, NUM_SHAPE_PARAMETERS)
    assert loaded(parameters).equal(decoder(parameters))
    assert not any("laplacian" in name for name in decoder.state_dict())
    assert {"mean", "components", "std"} <= set(decoder.state_dict())
    assert not {"mean", "components", "std"} & {name for name, _ in decoder.named_parameters()}


def test_rescaled_laplacian_of_two_vertices() -> None:
    """L = [[1, -1], [-1, 1]] has the eigenvalues 0 and 2, so L - 1 is left."""
    np.testing.assert_allclose(rescaled_laplacian(np.array([[0, 1]]), 2), [[0, -1], [-1, 0]], atol=1e-12)


@pytest.mark.parametrize(("graph", "count"), [(EDGES, 4), (edges(), NUM_VERTICES)])
def test_eigenvalues_of_the_rescaled_laplacian_span_minus_1_to_1(graph: np.ndarray, count: int) -> None:
    values = np.linalg.eigvalsh(rescaled_laplacian(graph, count))
    np.testing.assert_allclose([values[0], values[-1]], [-1, 1], atol=1e-9)


@pytest.mark.parametrize("terms", [1, 2, 3, 5])
def test_chebyshev_conv_is_a_polynomial_of_the_eigenvalues(terms: int) -> None:
    """T_k(L) = U cos(k arccos(l)) U', by the eigenvectors U and values l of L."""
    laplacian = rescaled_laplacian(EDGES, 4)
    values, vectors = np.linalg.eigh(laplacian)
    conv = ChebyshevConv(2, 3, torch.from_numpy(laplacian), terms=terms).double()
    x = torch.randn(5, 4, 2, dtype=torch.float64)
    expected = conv.linear.bias.expand(5, 4, 3)
    for term, weight in enumerate(conv.linear.weight.split(2, dim=1)):
        chebyshev = vectors @ np.diag(np.cos(term * np.arccos(values.clip(-1, 1)))) @ vectors.T
        expected = expected + torch.from_numpy(chebyshev) @ x @ weight.T
    torch.testing.assert_close(conv(x), expected)


def test_k_terms_depend_on_neighbors_up_to_k_minus_1_edges_away() -> None:
    conv = ChebyshevConv(1, 1, torch.from_numpy(rescaled_laplacian(EDGES, 4)).float(), terms=2)
    x = torch.zeros(1, 4, 1, requires_grad=True)
    conv(x)[0, 3, 0].backward()
    assert x.grad is not None
    assert (x.grad[0, :, 0] != 0).tolist() == [False, False, True, True]


def test_laplacian_is_not_saved_with_the_weights() -> None:
    assert set(ChebyshevConv(1, 1, torch.zeros(2, 2), terms=2).state_dict()) == {"linear.weight", "linear.bias"}
