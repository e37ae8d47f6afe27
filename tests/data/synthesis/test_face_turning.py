"""Faces turned in 3D."""

import numpy as np
import pytest

from helpers.domes import dome
from onelook.data.synthesis.face_turning import TurnedFace, turn_face
from onelook.geometry.head_pose import head_axes, turn_rotation
from onelook.geometry.mesh import NOSE_TIP, mesh_to_landmarks, mirror_mesh

SIDE = 96


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A smooth pattern without symmetry."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [np.sin(9 * x + 3 * y), np.cos(7 * y - 2 * x), np.sin(5 * x * y + 4 * x)]
    return (127 + 100 * np.stack(waves, -1)).round().astype(np.uint8)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A symmetric mesh in the middle of the image, 42 pixels wide."""
    shape = (dome() + mirror_mesh(dome(), 0.0)) / 2
    return (shape * 21 + (SIDE / 2, SIDE / 2, 0)).astype(np.float32)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (SIDE - 3, SIDE), (SIDE, SIDE - 1), (60, 61)])
def test_a_turn_by_0_is_the_identity(image: np.ndarray, face: np.ndarray, shape: tuple[int, int]) -> None:
    cropped = image[: shape[0], : shape[1]]
    turned = turn_face(cropped, face, 0)
    assert turned.image.shape == cropped.shape and turned.image.dtype == np.uint8
    assert mean_difference(turned.image, cropped) < 0.5
    np.testing.assert_allclose(turned.vertices, face, atol=1e-4)


def test_the_vertices_rotate_about_their_center(image: np.ndarray, face: np.ndarray) -> None:
    turned = turn_face(image, face, 50, -10)
    center = face.mean(0)
    expected = (face - center) @ turn_rotation(head_axes(face), 50, -10).T + center
    np.testing.assert_allclose(turned.vertices, expected, atol=1e-3)
    np.testing.assert_allclose(turned.landmarks, mesh_to_landmarks(expected), atol=1e-3)


def test_yaw_of_90_shows_depth_as_width(image: np.ndarray, face: np.ndarray) -> None:
    turned = turn_face(image, face, 90)
    center = face.mean(0)
    # A point in front of the center is right of it: x grows by the depth that it is nearer.
    assert turned.vertices[NOSE_TIP, 0] == pytest.approx(center[0] + center[2] - face[NOSE_TIP, 2], abs=0.01)


@pytest.mark.parametrize("yaw", [-45.0, 30.0])
def test_the_picture_moves_with_the_vertices(image: np.ndarray, face: np.ndarray, yaw: float) -> None:
    turned = turn_face(image, face, yaw)
    front = np.linalg.norm(face[:, :2] - face[NOSE_TIP, :2], axis=1) < 8  # visible at both angles
    assert front.sum() > 20

    def colors(picture: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        columns, rows = vertices[front, :2].astype(int).T
        return picture[rows, columns].astype(float)

    moved = mean_difference(colors(image, face), colors(turned.image, turned.vertices))
    assert moved < 5
    assert moved < 0.5 * mean_difference(colors(image, face), colors(turned.image, face))


@pytest.mark.parametrize("yaw", [25.0, 75.0])
def test_a_mirrored_face_turns_to_the_other_side(image: np.ndarray, face: np.ndarray, yaw: float) -> None:
    turned = turn_face(image, face, yaw, 5)
    mirrored = turn_face(image[:, ::-1], mirror_mesh(face, SIDE), -yaw, 5)
    np.testing.assert_allclose(mirrored.vertices, mirror_mesh(turned.vertices, SIDE), atol=1e-3)
    assert mean_difference(mirrored.image[:, ::-1], turned.image) < 2
    assert mean_difference(turned.image, image) > 10


@pytest.mark.parametrize("yaw", [-80.0, 80.0])
def test_a_profile_has_landmarks_inside_its_box(image: np.ndarray, face: np.ndarray, yaw: float) -> None:
    turned: TurnedFace = turn_face(image, face, yaw)
    assert np.isfinite(turned.landmarks).all() and turned.landmarks.shape == (5, 2)
    assert (turned.landmarks >= turned.box[:2]).all() and (turned.landmarks <= turned.box[2:]).all()
    assert (turned.box >= 0).all() and (turned.box <= SIDE).all()
    again = turn_face(image, face, yaw)
    assert (again.image == turned.image).all()


def test_the_border_stays(image: np.ndarray, face: np.ndarray) -> None:
    turned = turn_face(image, face, 60).image
    for border in (np.s_[1], np.s_[-2], np.s_[:, 1], np.s_[:, -2]):
        assert mean_difference(turned[border], image[border]) < 15
