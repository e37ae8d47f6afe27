from itertools import combinations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.domes import dome
from onelook.geometry.mesh import triangles
from onelook.geometry.mesh_location import NOT_ON_MESH, interpolate_vertices, locate_points
from onelook.geometry.rendering import rasterize

SIDE = 24


def test_one_triangle_by_hand() -> None:
    vertices = np.array([[0, 0, 1], [4, 0, 1], [0, 4, 1]], np.float32)
    points = np.array([[1.5, 0.5], [4, 0], [3, 3], [np.nan, 1]])
    located = locate_points(points, vertices, np.array([[0, 1, 2]]))
    assert located.triangles.tolist() == [0, 0, NOT_ON_MESH, NOT_ON_MESH]
    assert located.weights[:2].tolist() == [[0.5, 0.375, 0.125], [0, 1, 0]]
    assert np.isnan(located.weights[2:]).all()
    moved = interpolate_vertices(located, vertices + np.array([10, 20, 0]), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(moved[:2], [[11.5, 20.5, 1], [14, 20, 1]])
    assert np.isnan(moved[2:]).all()


def test_the_nearest_triangle_is_found_and_flat_and_broken_ones_are_left_out() -> None:
    corners = np.array([[0, 0], [8, 0], [0, 8]])
    layers = [np.column_stack([corners, np.full(3, depth)]) for depth in (5, 3, 4)]
    line = [[0, 0, 0], [4, 4, 0], [2, 2, 0]]
    broken = [[0, 0, 0], [np.nan, 0, 0], [0, 8, 0]]
    vertices = np.concatenate([*layers, line, broken]).astype(np.float32)
    located = locate_points(np.array([[2.0, 2.0]]), vertices, np.arange(15).reshape(5, 3))
    assert located.triangles.tolist() == [1]


@settings(max_examples=40)
@given(st.integers(0, 1000))
def test_locations_equal_those_of_a_search_triangle_by_triangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, points = rng.uniform(-3, 11, (9, 3)), rng.uniform(0, 8, (20, 2))
    corners = rng.choice(list(combinations(range(9), 3)), 6, replace=False)
    located = locate_points(points, vertices, corners)
    for i, point in enumerate(points):
        nearest, expected = np.inf, (NOT_ON_MESH, np.full(3, np.nan))
        for row, triangle in enumerate(corners):
            weights = np.linalg.solve(np.vstack([vertices[triangle, :2].T, np.ones(3)]), [*point, 1])
            if (weights >= 0).all() and weights @ vertices[triangle, 2] < nearest:
                nearest, expected = weights @ vertices[triangle, 2], (row, weights)
        assert located.triangles[i] == expected[0]
        np.testing.assert_allclose(located.weights[i], expected[1], atol=1e-9)


def test_the_centers_of_pixels_have_the_triangles_of_the_rendering() -> None:
    vertices = dome().astype(np.float64) * SIDE / 2.5 + SIDE / 2
    visible = rasterize(torch.from_numpy(vertices)[None], torch.from_numpy(triangles()), SIDE)[0].numpy()
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    points = np.stack([x, y], -1).reshape(-1, 2)
    located = locate_points(points, vertices, triangles())
    assert (located.triangles == visible.ravel()).all() and (visible >= 0).mean() > 0.3
    on_mesh = located.triangles >= 0
    again = interpolate_vertices(located, vertices, triangles())[on_mesh, :2]
    np.testing.assert_allclose(again, points[on_mesh], atol=1e-9)
