"""The pose of a head by its mesh."""

import cv2
import numpy as np
import pytest

from helpers.domes import dome
from onelook.geometry.head_pose import head_axes, head_yaw, turn_rotation
from onelook.geometry.mesh import mesh_to_landmarks, mirror_mesh


def symmetric_dome() -> np.ndarray:
    return (dome() + mirror_mesh(dome(), 0.0)) / 2


def test_the_axes_of_an_upright_face_are_those_of_the_image() -> None:
    np.testing.assert_allclose(head_axes(symmetric_dome()), np.eye(3), atol=1e-6)
    assert head_yaw(symmetric_dome()) == pytest.approx(0, abs=1e-6)


def test_the_axes_rotate_with_the_head() -> None:
    rotation = cv2.Rodrigues(np.array([0.3, -0.5, 0.2]))[0]
    np.testing.assert_allclose(head_axes(symmetric_dome() @ rotation.T), rotation, atol=1e-6)


@pytest.mark.parametrize("yaw", [-70.0, 35.0])
@pytest.mark.parametrize("roll", [0.0, 0.4])
def test_turning_adds_to_the_yaw_and_leaves_roll(yaw: float, roll: float) -> None:
    rolled = symmetric_dome() @ cv2.Rodrigues(np.array([0, 0, roll]))[0].T
    turned = rolled @ turn_rotation(head_axes(rolled), yaw, 0).T
    assert head_yaw(turned) == pytest.approx(yaw, abs=1e-6)
    right = head_axes(turned)[:, 0]
    assert np.arctan2(right[1], right[0]) == pytest.approx(roll, abs=1e-6)


def test_positive_yaw_moves_the_nose_to_the_right_and_positive_pitch_up() -> None:
    face = symmetric_dome()
    still = mesh_to_landmarks(face)[2] - mesh_to_landmarks(face)[:2].mean(0)
    for yaw, pitch, axis, sign in [(30, 0, 0, 1), (0, 30, 1, -1)]:
        landmarks = mesh_to_landmarks(face @ turn_rotation(head_axes(face), yaw, pitch).T)
        assert sign * (landmarks[2] - landmarks[:2].mean(0) - still)[axis] > 0.01


def test_the_eyes_of_a_nodding_head_are_level_in_profile() -> None:
    nodding = symmetric_dome() @ cv2.Rodrigues(np.array([0.3, 0, 0]))[0].T
    eyes = mesh_to_landmarks(nodding @ turn_rotation(head_axes(nodding), 90, 0).T)[:2]
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1e-6)
