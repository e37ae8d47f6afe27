import numpy as np

from onelook.geometry.mesh import (
    NOSE_TIP,
    POINTS_68,
    VERTICES,
    edges,
    edges_68,
    mesh_to_landmarks,
    mirror_mesh,
    mirror_permutation,
    to_obj,
    triangles,
)


def test_the_triangles_are_a_disc_over_all_vertices() -> None:
    faces, sides = triangles(), edges()
    assert set(faces.ravel().tolist()) == set(range(VERTICES))
    assert VERTICES - len(sides) + len(faces) == 1  # Euler: one piece without a hole
    shared = np.sort(np.concatenate([faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    assert np.unique(shared, axis=0, return_counts=True)[1].max() == 2
    assert (sides[:, 0] < sides[:, 1]).all()


def test_twins_are_each_others_and_the_eyes_change_places() -> None:
    assert (mirror_permutation()[mirror_permutation()] == np.arange(VERTICES)).all()
    assert mirror_permutation()[[33, 133, 61, NOSE_TIP]].tolist() == [263, 362, 291, NOSE_TIP]


def test_the_68_points_are_68_and_their_outlines_leave_none_alone() -> None:
    assert len(POINTS_68) == len(set(POINTS_68)) == 68
    assert set(edges_68().ravel().tolist()) == set(range(68))
    # Eyes of six points and lips of twelve and eight are closed, the rest are lines.
    assert len(edges_68()) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8


def test_mirrored_twice_a_mesh_is_itself_and_its_points_swap_sides() -> None:
    vertices = np.random.default_rng(0).normal(100, 30, (2, VERTICES, 3))
    once = mirror_mesh(vertices, 250.0)
    np.testing.assert_allclose(mirror_mesh(once, 250.0), vertices, rtol=1e-4)
    points, mirrored = mesh_to_landmarks(vertices), mesh_to_landmarks(once)
    np.testing.assert_allclose(mirrored[:, [1, 0, 2, 4, 3], 0], 250 - points[..., 0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(mirrored[:, [1, 0, 2, 4, 3], 1], points[..., 1], rtol=1e-4)


def test_an_obj_file_holds_every_vertex_and_counts_them_from_1() -> None:
    lines = to_obj(np.arange(VERTICES * 3, dtype=np.float32).reshape(-1, 3)).splitlines()
    assert lines[1] == "v 3.0000 -4.0000 -5.0000"
    corners = [int(word) for line in lines if line.startswith("f ") for word in line.split()[1:]]
    assert min(corners) == 1 and max(corners) == VERTICES and len(corners) == 3 * len(triangles())
