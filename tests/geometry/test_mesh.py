import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.mesh import (
    NOSE_TIP,
    NUM_VERTICES,
    POINTS_68,
    decode_mesh,
    edges,
    edges_68,
    encode_mesh,
    mesh_to_landmarks,
    mirror_mesh,
    mirror_permutation,
    to_obj,
    triangles,
)


def test_the_triangles_are_a_disc_over_all_vertices() -> None:
    faces, sides = triangles(), edges()
    assert set(faces.ravel().tolist()) == set(range(NUM_VERTICES))
    assert NUM_VERTICES - len(sides) + len(faces) == 1  # Euler: one piece without a hole
    shared = np.sort(np.concatenate([faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    assert np.unique(shared, axis=0, return_counts=True)[1].max() == 2
    assert (sides[:, 0] < sides[:, 1]).all()


def test_twins_are_each_others_and_the_eyes_change_places() -> None:
    assert (mirror_permutation()[mirror_permutation()] == np.arange(NUM_VERTICES)).all()
    assert mirror_permutation()[[33, 133, 61, NOSE_TIP]].tolist() == [263, 362, 291, NOSE_TIP]


def test_the_68_points_are_68_and_their_outlines_leave_none_alone() -> None:
    assert len(POINTS_68) == len(set(POINTS_68)) == 68
    assert set(edges_68().ravel().tolist()) == set(range(68))
    # Eyes of six points and lips of twelve and eight are closed, the rest are lines.
    assert len(edges_68()) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8


def test_mirrored_twice_a_mesh_is_itself_and_its_points_swap_sides() -> None:
    vertices = np.random.default_rng(0).normal(100, 30, (2, NUM_VERTICES, 3))
    once = mirror_mesh(vertices, 250.0)
    np.testing.assert_allclose(mirror_mesh(once, 250.0), vertices, rtol=1e-4)
    points, mirrored = mesh_to_landmarks(vertices), mesh_to_landmarks(once)
    np.testing.assert_allclose(mirrored[:, [1, 0, 2, 4, 3], 0], 250 - points[..., 0], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(mirrored[:, [1, 0, 2, 4, 3], 1], points[..., 1], rtol=1e-4)


def test_an_obj_file_holds_every_vertex_and_counts_them_from_1() -> None:
    lines = to_obj(np.arange(NUM_VERTICES * 3, dtype=np.float32).reshape(-1, 3)).splitlines()
    assert lines[1] == "v 3.0000 -4.0000 -5.0000"
    corners = [int(word) for line in lines if line.startswith("f ") for word in line.split()[1:]]
    assert min(corners) == 1 and max(corners) == NUM_VERTICES and len(corners) == 3 * len(triangles())


@given(st.integers(0, 1000))
def test_mesh_decoding_undoes_encoding_and_puts_the_nose_tip_at_depth_0(seed: int) -> None:
    vertices = torch.randn(3, NUM_VERTICES, 3, generator=torch.Generator().manual_seed(seed)) * 30 + 100
    anchors = torch.rand(3, 4, generator=torch.Generator().manual_seed(seed)) * 100 + 16
    decoded = decode_mesh(encode_mesh(vertices, anchors), anchors)
    torch.testing.assert_close(decoded[..., :2], vertices[..., :2], rtol=1e-4, atol=1e-3)
    depths = vertices[..., 2] - vertices[:, NOSE_TIP, 2][:, None]
    torch.testing.assert_close(decoded[..., 2], depths, rtol=1e-4, atol=1e-3)
    assert (decoded[:, NOSE_TIP, 2] == 0).all()


def test_an_offset_is_counted_in_sides_of_the_anchor() -> None:
    vertices = torch.full((1, NUM_VERTICES, 3), 8.0)
    vertices[0, 0] = torch.tensor([40.0, 4.0, 16.0])
    encoded = encode_mesh(vertices, torch.tensor([[24.0, 12.0, 16.0, 16.0]]))
    assert encoded[0, 0].tolist() == [1.0, -0.5, 0.5]
