from math import sqrt

import torch

from helpers.domes import dome
from onelook.geometry.mesh import triangles
from onelook.geometry.rendering import shade, vertex_normals

# One triangle in the image plane, clockwise as seen by the camera, which looks along z.
FLAT = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]], dtype=torch.float64)
ONE = torch.tensor([[0, 1, 2]])


def light(location: tuple[float, ...], point: float, ambient: float) -> torch.Tensor:
    return torch.tensor([[*location, *[point] * 3, *[ambient] * 3]], dtype=torch.float64)


def test_normals_point_to_the_camera() -> None:
    assert vertex_normals(FLAT, ONE)[0].tolist() == [[0, 0, -1]] * 3


def test_a_normal_is_the_mean_of_the_triangles_around_by_their_area() -> None:
    """Two triangles that share an edge: one in the image plane, one of twice the area in the plane x = 0."""
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2]]], dtype=torch.float64)
    found = vertex_normals(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]))[0]
    torch.testing.assert_close(found[1], torch.tensor([0.0, 0, -1]).double())
    torch.testing.assert_close(found[3], torch.tensor([-1.0, 0, 0]).double())
    torch.testing.assert_close(found[0], torch.tensor([-2.0, 0, -1]).double() / sqrt(5))


def test_light_by_hand() -> None:
    """From straight before it a vertex gets ambient + point; from 60 degrees aside ambient + half the point light."""
    colors = torch.tensor([[[0.5, 0.4, 0.2]]]).double().repeat(1, 3, 1)
    before = shade(FLAT, colors, light((0, 0, -3), 0.6, 0.3), ONE)
    torch.testing.assert_close(before[0, 0], 0.9 * colors[0, 0])
    aside = shade(FLAT, colors, light((sqrt(3), 0, -1), 0.6, 0.3), ONE)
    torch.testing.assert_close(aside[0, 0], 0.6 * colors[0, 0])


def test_light_from_behind_leaves_the_ambient_one() -> None:
    torch.testing.assert_close(
        shade(FLAT, torch.ones_like(FLAT), light((0, 0, 5), 0.6, 0.3), ONE), torch.full_like(FLAT, 0.3)
    )


def test_colors_of_light_and_skin_are_multiplied_one_by_one() -> None:
    colored = torch.tensor([[0, 0, -3, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7]]).double()
    found = shade(FLAT, torch.tensor([[[1.0, 0.5, 0.1]] * 3]).double(), colored, ONE)
    torch.testing.assert_close(found[0, 0], torch.tensor([0.6, 0.4, 0.1]).double())


def test_the_normals_of_a_dome_point_outwards() -> None:
    shape = torch.from_numpy(dome())
    assert (vertex_normals(shape[None], torch.from_numpy(triangles()))[0, :, 2] < 0).all()


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    vertices = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    colors = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    illumination = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    corners = torch.tensor([[0, 1, 2], [0, 2, 3]])
    assert torch.autograd.gradcheck(lambda *given: shade(*given, corners), (vertices, colors, illumination))
