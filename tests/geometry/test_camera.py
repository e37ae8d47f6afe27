from math import pi, sqrt

import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.camera import axis_angle_to_matrix, project_points


def camera(location: tuple[float, ...], pose: tuple[float, ...] = (0, 0, 0), focal: float = 1) -> torch.Tensor:
    return torch.tensor([[*location, *pose, focal]], dtype=torch.float64)


def one(*vertex: float) -> torch.Tensor:
    return torch.tensor([[vertex]], dtype=torch.float64)


def test_straight_before_the_face_by_hand() -> None:
    """4 units before the origin with focal length 2: a vertex 1 unit behind it is 5 away, and 2 / 5 as large."""
    assert project_points(one(1, -2, 1), camera((0, 0, -4), focal=2)).flatten().tolist() == [0.4, -0.8, 5]


def test_a_camera_that_moves_right_sees_the_face_move_left() -> None:
    torch.testing.assert_close(project_points(one(0, 0, 0), camera((1, 0, -4))), one(-0.25, 0, 4))


def test_a_quarter_turn_about_the_vertical_brings_the_right_side_away_or_near() -> None:
    torch.testing.assert_close(project_points(one(1, 0, 0), camera((0, 0, -4), (0, pi / 2, 0))), one(0, 0, 3))
    torch.testing.assert_close(project_points(one(1, 0, 0), camera((0, 0, -4), (0, -pi / 2, 0))), one(0, 0, 5))
    # About the line of sight, y is downwards: clockwise in the photo.
    torch.testing.assert_close(project_points(one(1, 0, 0), camera((0, 0, -1), (0, 0, pi / 2))), one(0, 1, 1))


def test_a_third_of_a_turn_about_the_diagonal_changes_the_axes_round() -> None:
    pose = torch.full((1, 3), 2 * pi / 3 / sqrt(3), dtype=torch.float64)
    wanted = torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]], dtype=torch.float64)
    torch.testing.assert_close(axis_angle_to_matrix(pose), wanted)


@given(st.integers(0, 1000))
def test_rotations_keep_lengths_and_sides_and_their_axis(seed: int) -> None:
    poses = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    turned = axis_angle_to_matrix(poses)
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turned), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close((turned @ poses[..., None])[..., 0], poses)


def test_what_is_behind_the_camera_is_neither_mirrored_nor_infinite() -> None:
    seen = project_points(one(1, 1, -9), camera((0, 0, -4)))
    assert seen.isfinite().all() and (seen > 0).all()


def test_the_gradient_is_that_of_finite_differences_at_no_rotation_too() -> None:
    torch.manual_seed(0)
    vertices = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    cameras = torch.tensor([[0.1, 0.2, -6, 0, 0, 0, 2], [0.5, 0, -9, 0.3, -0.2, 0.1, 3]], dtype=torch.float64)
    assert torch.autograd.gradcheck(project_points, (vertices, cameras.requires_grad_()))
