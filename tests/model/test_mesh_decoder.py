import torch

from helpers.domes import dome, painted
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS
from onelook.model.mesh_decoder import MeshDecoder


def with_basis() -> MeshDecoder:
    """The mean is a dome; the first parameter makes it wider, the second redder."""
    torch.manual_seed(0)
    decoder = MeshDecoder()
    shape = torch.from_numpy(dome()).float()
    mean = torch.cat([shape, torch.from_numpy(painted(dome())).float()], 1)
    components = torch.zeros(NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS)
    components[0, :, 0] = shape[:, 0]
    components[1, :, 3] = 1
    deviations = torch.zeros(NUM_SHAPE_PARAMETERS)
    deviations[:2] = torch.tensor([0.5, 0.1])
    decoder.set_basis(mean, components, deviations)
    return decoder


def test_it_begins_as_the_linear_model() -> None:
    decoder = with_basis()
    parameters = torch.zeros(2, NUM_SHAPE_PARAMETERS)
    parameters[1, :3] = torch.tensor([2.0, -1, 5])
    told = decoder(parameters)
    torch.testing.assert_close(told[0], decoder.mean)
    wanted = decoder.mean.clone()
    wanted[:, 0] *= 2  # two deviations of a half
    wanted[:, 3] -= 0.1
    torch.testing.assert_close(told[1], wanted)


def test_its_correction_learns_what_the_basis_has_not() -> None:
    """A dent about one vertex: no component is like it."""
    decoder = with_basis()
    wanted = decoder.mean.clone()[None]
    wanted[0, :, 2] += torch.exp(-20 * (wanted[0, :, :2] - wanted[0, 1, :2]).square().sum(-1))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)

    def loss() -> torch.Tensor:
        return (decoder(torch.zeros(1, NUM_SHAPE_PARAMETERS)) - wanted).square().mean()

    before = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.3 * before


def test_the_basis_is_saved_and_the_graph_is_not() -> None:
    decoder, again = with_basis(), MeshDecoder()
    again.load_state_dict(decoder.state_dict())
    parameters = torch.randn(2, NUM_SHAPE_PARAMETERS)
    assert again(parameters).equal(decoder(parameters))
    assert not any("laplacian" in name for name in decoder.state_dict())
    assert {"mean", "components", "deviations"} <= set(decoder.state_dict())
    assert not {"mean", "components", "deviations"} & {name for name, _ in decoder.named_parameters()}
