"""Landmark cascades: shapes of the papers, averaged estimates, and coordinates."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from onelook.geometry.face_squares import FACE_EXTENT, FACE_SIDE, sample_patches, windows_around
from onelook.model.cfan import NUM_FEATURES, AutoencoderLevel, GlobalAutoencoder, SigmoidLayer, build_cfan
from onelook.model.coarse_to_fine import build_coarse_to_fine
from onelook.model.landmark_cascade import LandmarkCascade, Level
from onelook.model.sun2013 import FaceLevel, PatchLevel, PointNetwork, build_sun2013


def describe(faces: Tensor, points: Tensor, side: int) -> Tensor:
    return torch.full((len(faces), NUM_FEATURES), side / 100.0)


@pytest.mark.parametrize("build", [build_sun2013, build_coarse_to_fine, build_cfan])
def test_every_level_moves_the_points_of_its_own_faces(build: Callable[[], LandmarkCascade]) -> None:
    torch.manual_seed(0)
    cascade = build().eval()
    faces = torch.rand(3, 1, FACE_SIDE, FACE_SIDE) * 255
    with torch.no_grad():
        levels = list(cascade.run(faces, describe))
        alone = list(cascade.run(faces[1:2], describe))
        assert len(levels) == len(cascade.levels) and len(list(cascade.run(faces, describe, 2))) == 2
    for points, own in zip(levels, alone, strict=True):
        assert points.shape == (3, 5, 2)
        torch.testing.assert_close(points[1:2], own)
    assert not levels[0].equal(levels[-1])


@pytest.mark.parametrize(("height", "points", "inputs"), [(39, 5, 320), (31, 3, 160), (15, 1, 160)])
def test_networks_of_sun_have_the_maps_of_the_paper(height: int, points: int, inputs: int) -> None:
    """The last map of S0 is 2 x 2, that of S1 is 1 x 2 with 80 channels, and that of S2 is 2 x 2 with 40."""
    network = PointNetwork(height, points)
    assert network.hidden.in_features == inputs
    assert network(torch.rand(2, 1, *network.size)).shape == (2, points, 2)


def test_estimates_of_a_point_are_averaged_over_the_networks_that_have_it() -> None:
    class Fixed(Level):
        def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
            return torch.tensor([1.0, 3.0])[None, :, None, None] * self.is_estimated[None, ..., None].expand(1, 2, 5, 2)

    level = Fixed([[True] * 5, [True] * 3 + [False] * 2])
    assert level(torch.zeros(1), torch.zeros(1, 5, 2))[0, :, 0].tolist() == [2, 2, 2, 1, 1]


def test_level_1_of_sun_places_the_points_of_each_network() -> None:
    level = FaceLevel()
    with torch.no_grad():
        for number, network in enumerate(level.networks):
            network.output.weight.zero_()
            network.output.bias.fill_(number + 1.0)
    estimates = level.estimates(torch.zeros(1, 1, FACE_SIDE, FACE_SIDE), torch.zeros(1, 5, 2))[0, ..., 0]
    assert estimates.tolist() == [[1, 1, 1, 1, 1], [2, 2, 2, 0, 0], [0, 0, 3, 3, 3]]
    torch.testing.assert_close(level.is_estimated, estimates != 0)


def test_level_2_of_sun_has_two_networks_a_point() -> None:
    level = PatchLevel((0.3, 0.4), 0.5)
    with torch.no_grad():
        for number, network in enumerate(level.networks):
            network.output.weight.zero_()
            network.output.bias.fill_(float(number))
    points = level.estimates(torch.zeros(1, 1, FACE_SIDE, FACE_SIDE), torch.zeros(1, 5, 2))[0, ..., 0]
    assert points.tolist() == [[0, 0.5, 1, 1.5, 2], [2.5, 3, 3.5, 4, 4.5]]


def test_patches_are_cut_in_units_of_the_square() -> None:
    """A face whose gray value is x + 10 y has in each pixel of a patch the value at the pixel's center."""
    axis = ((torch.arange(FACE_SIDE) + 0.5) / FACE_SIDE - 0.5) * FACE_EXTENT + 0.5
    face = (axis + 10 * axis[:, None])[None, None]
    window = windows_around(torch.tensor([[[0.4, 0.6]]]), 0.2)
    patch = sample_patches(face, window, 1, 2)
    torch.testing.assert_close(patch[0, 0], torch.tensor([[0.35 + 6.0, 0.45 + 6.0]]))


def test_autoencoders_use_their_own_inputs_in_both_directions() -> None:
    layer = SigmoidLayer(2, 1)
    with torch.no_grad():
        layer.encoder.weight.copy_(torch.tensor([[1.0, -2.0]]))
        layer.encoder.bias.fill_(0.5)
    code = torch.sigmoid(torch.tensor(1.0 * 0.2 - 2 * 0.4 + 0.5))
    expected = torch.sigmoid(torch.stack([code, -2 * code]))
    torch.testing.assert_close(layer.reconstruct(torch.tensor([[0.2, 0.4]]))[0], expected)


def test_new_autoencoders_keep_the_differences_between_faces() -> None:
    torch.manual_seed(0)
    level = AutoencoderLevel(640, (324, 196, 100))
    x = torch.rand(64, 640)
    for layer in level.layers:
        x = layer(x)
    assert x.std(0).mean() > 0.1  # 0.005 with a gain of 1
    assert abs(float(x.detach().mean()) - 0.5) < 0.05


def test_only_the_layer_of_a_reconstruction_gets_gradients() -> None:
    torch.manual_seed(0)
    level = GlobalAutoencoder()
    inputs, reconstructed = level.reconstruction(torch.rand(2, 1, FACE_SIDE, FACE_SIDE) * 255, 1)
    assert inputs.shape == reconstructed.shape == (2, 1600) and not inputs.requires_grad
    reconstructed.sum().backward()
    assert [any(p.grad is not None for p in layer.parameters()) for layer in level.layers] == [False, True, False]
