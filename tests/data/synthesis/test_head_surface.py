"""The surface of the head around the mesh of its face."""

from itertools import pairwise

import numpy as np

from helpers.domes import dome
from onelook.data.synthesis.head_surface import background_anchors, head_anchors, surface_triangles
from onelook.geometry.mesh import FACE_CONTOUR, NUM_VERTICES, mirror_permutation


def test_the_surface_is_a_disc_without_holes() -> None:
    triangles = surface_triangles()
    sides = np.sort(np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    edges, counts = np.unique(sides, axis=0, return_counts=True)
    vertices = NUM_VERTICES + 4 * len(FACE_CONTOUR)
    assert set(triangles.ravel().tolist()) == set(range(vertices))
    background = set(range(vertices - len(FACE_CONTOUR), vertices))
    border = {tuple(edge) for edge, count in zip(edges.tolist(), counts, strict=True) if count == 1}
    around = sorted(background)
    assert {tuple(sorted(pair)) for pair in zip(around, around[1:] + around[:1], strict=True)} <= border


def test_the_face_is_triangulated_alike_on_both_sides() -> None:
    faces = [tuple(sorted(each)) for each in surface_triangles().tolist() if max(each) < NUM_VERTICES]
    twins = mirror_permutation()
    assert {tuple(sorted(twins[list(each)].tolist())) for each in faces} == set(faces)


def test_rings_surround_the_face_ever_further_out_and_back() -> None:
    face = dome()
    rings = [face[list(FACE_CONTOUR)], *head_anchors(face).reshape(3, -1, 3)]
    center = (rings[0][:, :2].max(0) + rings[0][:, :2].min(0)) / 2
    for inner, outer in pairwise(rings):
        assert (np.linalg.norm(outer[:, :2] - center, axis=1) > np.linalg.norm(inner[:, :2] - center, axis=1)).all()
        assert (outer[:, 2] > inner[:, 2]).all()


def test_the_background_ends_on_the_border_of_the_image() -> None:
    ring = np.array([[60.0, 40.0], [50.0, 50.0], [40.0, 40.0], [50.0, 30.0]])
    np.testing.assert_allclose(background_anchors(ring, 100, 90), [[100, 40], [50, 90], [0, 40], [50, 0]])
