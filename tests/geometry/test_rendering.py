from math import sqrt

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.domes import dome, painted
from onelook.geometry.mesh import triangles
from onelook.geometry.rendering import rasterize, rasterize_blocks, render, shade, vertex_normals

ONE = torch.tensor([[0, 1, 2]])


def test_one_triangle_by_hand() -> None:
    """Half of a square of 4 pixels: the pixels whose centers are on or above the diagonal from (4, 0) to (0, 4)."""
    corners = torch.tensor([[[0.0, 0, 1], [4, 0, 1], [0, 4, 1]]])
    picture, mask = render(corners, torch.eye(3)[None], ONE, 4)
    wanted = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]
    assert mask[0].int().tolist() == wanted
    # The center of pixel (1, 0) is at (1.5, 0.5): three eighths towards the second corner and an eighth to the third.
    assert picture[0, 0, 1].tolist() == [0.5, 0.375, 0.125]
    assert not picture[0][~mask[0]].any()


def test_the_nearer_triangle_is_seen_and_of_equals_the_first() -> None:
    near = torch.tensor([[0.0, 0, 1], [4, 0, 1], [0, 4, 1]])
    far = torch.tensor([[0.0, 0, 2], [8, 0, 2], [0, 8, 2]])
    both = torch.cat([far, near])[None]
    seen = rasterize(both, torch.tensor([[0, 1, 2], [3, 4, 5], [4, 3, 5]]), 4)[0]
    assert seen[0].tolist() == [1, 1, 1, 1] and seen[3].tolist() == [1, 0, 0, 0]


def test_a_triangle_that_leans_through_another_is_seen_where_it_is_nearer() -> None:
    flat = torch.tensor([[0.0, 0, 2], [20, 0, 2], [0, 20, 2]])
    leaning = torch.tensor([[0.0, 0, 0], [20, 0, 10], [0, 20, 0]])  # depth x / 2
    seen = rasterize(torch.cat([flat, leaning])[None], torch.tensor([[0, 1, 2], [3, 4, 5]]), 8)[0]
    assert seen[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_nothing_is_rendered_of_what_is_outside_flat_or_not_finite() -> None:
    outside = torch.tensor([[10.0, 10, 1], [14, 10, 1], [10, 14, 1]])
    flat = torch.tensor([[0.0, 0, 1], [4, 4, 1], [2, 2, 1]])
    broken = torch.tensor([[0.0, 0, 1], [torch.nan, 0, 1], [0, torch.inf, 1]])
    corners = torch.stack([outside, flat, broken]).requires_grad_()
    colors = torch.ones(3, 3, 3, requires_grad=True)
    picture, mask = render(corners, colors, ONE, 4)
    assert not mask.any() and not picture.any()
    picture.sum().backward()
    assert corners.grad is not None and not corners.grad.any()


def twin(vertices: np.ndarray, colors: np.ndarray, corners: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel by pixel, triangle by triangle; the weights by solving for them."""
    picture, mask = np.zeros((side, side, 3)), np.zeros((side, side), bool)
    for row in range(side):
        for column in range(side):
            nearest = np.inf
            for triangle in corners:
                a = np.vstack([vertices[triangle, :2].T, np.ones(3)])
                weights = np.linalg.solve(a, [column + 0.5, row + 0.5, 1])
                depth = weights @ vertices[triangle, 2]
                if (weights >= 0).all() and depth < nearest:
                    nearest = depth
                    picture[row, column], mask[row, column] = weights @ colors[triangle], True
    return picture, mask


@settings(max_examples=40)
@given(st.integers(0, 1000))
def test_random_triangles_look_as_their_twin_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, colors = rng.uniform(-3, 11, (2, 9, 3)), rng.random((2, 9, 3))
    corners = np.array([rng.permutation(9)[:3] for _ in range(6)])
    pictures, masks = render(*map(torch.from_numpy, (vertices, colors, corners)), 8)
    for face in range(2):
        picture, mask = twin(vertices[face], colors[face], corners, 8)
        assert (masks[face].numpy() == mask).all()
        np.testing.assert_allclose(pictures[face].numpy(), picture, atol=1e-9)


@given(st.integers(0, 2**31))
def test_blocks_of_triangles_equal_candidate_pixels(seed: int) -> None:
    torch.manual_seed(seed)
    vertices = torch.rand(2, 12, 3) * torch.tensor([16.0, 16.0, 3.0]) - 2
    vertices[0, 3, 0], vertices[1, 4, 2] = torch.nan, vertices[1, 5, 2]
    corners = torch.randint(0, 12, (70, 3))  # more than a block; some are flat, some are equal
    assert rasterize_blocks(vertices[:, corners], 12).equal(rasterize(vertices, corners, 12))


def test_a_dome_fills_its_circle_without_a_gap() -> None:
    shape = dome()
    vertices = torch.from_numpy(shape * (14, 14, 1) + (16, 16, 5))[None]
    mask = render(vertices, torch.from_numpy(painted(shape))[None], torch.from_numpy(triangles()), 32).mask[0]
    y, x = np.mgrid[:32, :32] + 0.5
    distance = np.hypot(x - 16, y - 16)
    assert mask[torch.from_numpy(distance < 13)].all() and not mask[torch.from_numpy(distance > 14)].any()


def test_the_gradient_is_that_of_finite_differences_where_no_edge_passes_a_pixel() -> None:
    shape = dome()
    vertices = torch.from_numpy(shape * (5, 5, 1) + (4.03, 4.01, 5))[None].requires_grad_()
    colors = torch.from_numpy(painted(shape))[None].requires_grad_()
    corners = torch.from_numpy(triangles())
    assert torch.autograd.gradcheck(
        lambda *given: render(*given, corners, 8).images.square().sum(), (vertices, colors), fast_mode=True, eps=1e-7
    )


def test_the_slope_of_a_color_moves_the_vertices_against_it() -> None:
    """Red grows with x by an eighth a pixel: a shift to the right by e lowers every pixel's red by e / 8."""
    corners = torch.tensor([[[0.0, 0, 1], [8, 0, 1], [0, 8, 1]]], requires_grad=True)
    colors = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 0, 0]]])
    picture, mask = render(corners, colors, ONE, 8)
    picture[..., 0].sum().backward()
    assert corners.grad is not None
    torch.testing.assert_close(corners.grad[0, :, 0].sum(), -mask.sum() / 8)
    torch.testing.assert_close(corners.grad[0, :, 2], torch.zeros(3))


# One triangle in the image plane, clockwise as seen by the camera, which looks along z.
FLAT = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]], dtype=torch.float64)


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
