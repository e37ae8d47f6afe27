from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.alignment import REFERENCE_LANDMARKS, apply_transform
from onelook.geometry.sampling_grid import center_grid, roi_grid, warp_grid


def similarity(turn: float, size: float, x: float, y: float) -> np.ndarray:
    real, imaginary = size * np.cos(turn), size * np.sin(turn)
    return np.array([[real, -imaginary, x], [imaginary, real, y]])


def test_the_sampling_grid_of_an_upright_face_is_the_pixel_centers_of_its_crop() -> None:
    landmarks = torch.from_numpy(REFERENCE_LANDMARKS)[None] * 2 + torch.tensor([30.0, 50.0])
    grid = warp_grid(landmarks, 28)
    assert grid.shape == (1, 28, 28, 2)
    torch.testing.assert_close(grid[0, 0, 0], torch.tensor([30 + 2 * 2.0, 50 + 2 * 2.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(grid[0, 0, 1] - grid[0, 0, 0], torch.tensor([8.0, 0.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(grid[0, 27, 0] - grid[0, 0, 0], torch.tensor([0.0, 8.0 * 27]), atol=1e-2, rtol=0)


def test_a_wider_grid_has_the_same_center_and_that_much_more_around_it() -> None:
    landmarks = torch.from_numpy(REFERENCE_LANDMARKS)[None]
    narrow, wide = warp_grid(landmarks, 28), warp_grid(landmarks, 28, 1.5)
    torch.testing.assert_close(wide.mean((1, 2)), narrow.mean((1, 2)), atol=1e-3, rtol=0)
    torch.testing.assert_close(wide[0, 0, 0], torch.tensor([56 - 84 + 3.0, 56 - 84 + 3.0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("grid", [warp_grid, roi_grid, center_grid])
def test_samples_of_small_squares_follow_each_other(grid: Callable[..., Any]) -> None:
    points = np.random.default_rng(0).uniform(0, 50, (2, 5, 2))
    rows, squares = grid(points, 6, 1.2), grid(points, 6, 1.2, 3)
    assert squares.shape == (2, 2, 18, 2)
    for y in range(6):
        for x in range(6):
            place = x // 3 * 9 + y % 3 * 3 + x % 3
            np.testing.assert_allclose(squares[:, y // 3, place], rows[:, y, x])


def turned(degrees: float, size: float = 1.7) -> torch.Tensor:
    """A template face turned about its middle, somewhere in a photo."""
    moved = apply_transform(similarity(np.radians(degrees), size, 80.0, 60.0), REFERENCE_LANDMARKS.astype(np.float64))
    return torch.from_numpy(moved)[None]


@pytest.mark.parametrize("extent", [0.8, 1.0, 1.5])
def test_warp_and_region_are_the_same_for_an_upright_face(extent: float) -> None:
    landmarks = torch.cat([turned(0), turned(0, 0.3) - 200])
    torch.testing.assert_close(roi_grid(landmarks, 14, extent), warp_grid(landmarks, 14, extent), atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrees", [-40, 20, 90])
def test_the_region_of_a_turned_face_stays_upright_where_the_warp_turns(degrees: float) -> None:
    region, warp = roi_grid(turned(degrees), 14)[0], warp_grid(turned(degrees), 14)[0]
    across, down = region[0, 1] - region[0, 0], region[1, 0] - region[0, 0]
    assert across[1] == down[0] == 0 and across[0] > 0
    torch.testing.assert_close(across[0], down[1])
    assert (warp - region).norm(dim=-1).max() > 20
    tilt = np.degrees(np.arctan2(*(warp[0, 1] - warp[0, 0]).flip(0).tolist()))
    np.testing.assert_allclose(tilt, degrees, atol=1e-4)


@given(st.floats(-180, 180), st.floats(0.1, 10), st.floats(-300, 300))
def test_the_region_moves_and_grows_with_the_face(degrees: float, zoom: float, away: float) -> None:
    face = turned(degrees)
    torch.testing.assert_close(roi_grid(face * zoom + away, 14), roi_grid(face, 14) * zoom + away)


def test_the_center_is_one_point_all_over_the_grid() -> None:
    landmarks = torch.cat([turned(0), turned(30) + 50])
    grid = center_grid(landmarks, 14, 1.5)
    assert grid.shape == (2, 14, 14, 2)
    assert torch.equal(grid, grid[:, :1, :1].expand_as(grid))
    torch.testing.assert_close(grid[:, 0, 0], landmarks.mean(1))


def test_without_faces_no_grid_is_refused() -> None:
    for grid in (warp_grid, roi_grid, center_grid):
        assert grid(torch.zeros(0, 5, 2), 14).shape == (0, 14, 14, 2)


@pytest.mark.parametrize("grid", [warp_grid, roi_grid, center_grid])
def test_numpy_and_torch_give_the_same_grid(grid: Callable[..., Any]) -> None:
    landmarks = (REFERENCE_LANDMARKS + np.random.default_rng(0).normal(scale=3, size=(4, 5, 2))).astype(np.float32)
    ours, theirs = grid(landmarks, 14, 1.2), grid(torch.from_numpy(landmarks), 14, 1.2)
    assert isinstance(ours, np.ndarray) and ours.dtype == np.float32 and ours.shape == (4, 14, 14, 2)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-3)
