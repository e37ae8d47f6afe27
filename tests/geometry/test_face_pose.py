"""Poses of a face: projection by hand, fits that recover a known pose, and poses in views of a face."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from helpers.domes import dome
from onelook.data.landmark_faces import LandmarkFaces, draw_views
from onelook.geometry.face_pose import (
    FRONTAL_WEIGHT,
    fit_poses,
    mean_mesh,
    mean_points,
    mesh_to_points,
    project_poses,
    view_poses,
)
from onelook.geometry.mesh import mesh_to_landmarks, mirror_mesh

SEEDS = st.integers(0, 1000)
DOME = dome()
SYMMETRIC = (DOME + mirror_mesh(DOME, 0.0)) / 2


def draw_poses(seed: int, count: int = 8) -> np.ndarray:
    """Draw poses with yaws to 75 degrees."""
    rng = np.random.default_rng(seed)
    yaw = np.stack([rng.normal(0, 0.1, count), rng.uniform(-1.3, 1.3, count), rng.normal(0, 0.1, count)], 1)
    vectors = (Rotation.from_rotvec(rng.normal(0, 0.15, (count, 3))) * Rotation.from_rotvec(yaw)).as_rotvec()
    return np.concatenate([vectors, rng.normal(0, 0.1, (count, 2)), rng.normal(-1, 0.2, (count, 1))], 1)


def project(poses: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return project_poses(torch.from_numpy(poses), torch.from_numpy(shape)).numpy()


def test_the_mean_face_has_the_eyes_one_unit_apart_and_is_symmetric() -> None:
    points = mean_points()
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)
    assert points[1, 0] - points[0, 0] == pytest.approx(1)
    np.testing.assert_allclose(points[[1, 0, 2, 4, 3]] * (-1, 1, 1), points, atol=1e-12)
    assert points[2, 2] == points[:, 2].min()  # the nose is nearest to the camera


def test_a_pose_without_rotation_shows_the_face_from_the_front() -> None:
    poses = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 0, 3, -2, np.log(5)]], np.float64)
    frontal, moved = project(poses, mean_points())
    np.testing.assert_allclose(frontal, mean_points()[:, :2])
    np.testing.assert_allclose(moved, mean_points()[:, :2] * 5 + (3, -2))


def test_rotations_by_a_right_angle() -> None:
    """About y, x becomes z; about z, the image turns clockwise."""
    about_y, about_z = project(np.array([[0, np.pi / 2, 0, 0, 0, 0], [0, 0, np.pi / 2, 0, 0, 0]]), mean_points())
    x, y, z = mean_points().T
    np.testing.assert_allclose(about_y, np.stack([z, y], 1), atol=1e-9)
    np.testing.assert_allclose(about_z, np.stack([-y, x], 1), atol=1e-9)


@given(SEEDS)
def test_a_fit_to_points_recovers_their_pose(seed: int) -> None:
    poses = draw_poses(seed)
    np.testing.assert_allclose(fit_poses(project(poses, mean_points()), mean_points()), poses, atol=1e-3)


@given(SEEDS)
def test_a_fit_to_a_mesh_recovers_its_pose(seed: int) -> None:
    poses, depth = draw_poses(seed), 7.0
    rotated = DOME @ Rotation.from_rotvec(poses[:, :3]).as_matrix().swapaxes(1, 2)
    shifts = np.concatenate([poses[:, 3:5], np.full((len(poses), 1), depth)], 1)
    meshes = np.exp(poses[:, 5])[:, None, None] * rotated + shifts[:, None]
    meshes[:, 100] = np.nan
    np.testing.assert_allclose(fit_poses(meshes, DOME), poses, atol=1e-9)


def test_a_fit_agrees_with_a_camera_far_away() -> None:
    """OpenCV's perspective fit, from 1000 units."""
    pose = draw_poses(3, 1)
    size, distance = np.exp(pose[0, 5]), 1000.0
    camera = np.array([[size * distance, 0, 0], [0, size * distance, 0], [0, 0, 1]])
    noise = np.random.default_rng(0).normal(0, 0.003, (5, 2))
    points = project(pose, mean_points())[0] + noise
    start = np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.0, distance])
    _, vector, shift = cv2.solvePnP(mean_points(), points, camera, None, *start, True, cv2.SOLVEPNP_ITERATIVE)
    fitted = fit_poses(points[None], mean_points())[0]
    np.testing.assert_allclose(fitted[:3], vector[:, 0], atol=5e-3)
    np.testing.assert_allclose(fitted[3:5], shift[:2, 0] * size * distance / shift[2, 0], atol=5e-3)
    assert np.exp(fitted[5]) == pytest.approx(size * distance / shift[2, 0], rel=5e-3)


def test_three_points_are_enough_and_their_fit_prefers_frontal_poses() -> None:
    poses = draw_poses(0)
    points = project(poses, mean_points())
    points[:, 3:] = np.nan
    exact, preferred = (fit_poses(points, mean_points(), weight) for weight in (0.0, FRONTAL_WEIGHT))
    np.testing.assert_allclose(project(exact, mean_points())[:, :3], points[:, :3], atol=1e-3)
    assert (np.linalg.norm(preferred[:, :3], axis=1) <= np.linalg.norm(exact[:, :3], axis=1) + 1e-3).all()
    np.testing.assert_allclose(project(preferred, mean_points())[:, :3], points[:, :3], atol=0.03)


@given(SEEDS)
def test_the_pose_in_a_view_projects_to_the_points_in_the_view(seed: int) -> None:
    """Views are moved, scaled, rotated and, half of them, mirrored."""
    poses = draw_poses(seed)
    points = project(poses, mean_points()) + 0.5
    faces = LandmarkFaces(np.zeros((len(poses), 1, 1), np.uint8), points)
    views = draw_views(faces, np.arange(len(poses)), np.random.default_rng(seed))
    found = project(view_poses(poses, views.transforms.double().numpy()), mean_points()) + 0.5
    np.testing.assert_allclose(found, views.points.numpy(), atol=1e-5)


def test_the_mean_mesh_is_frontal_and_symmetric_however_the_faces_are_turned() -> None:
    turns = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.3, (6, 3))).as_matrix()
    mean = mean_mesh(40 * SYMMETRIC @ turns + 90)
    np.testing.assert_allclose(mirror_mesh(mean, 0.0), mean, atol=1e-9)
    points = mesh_to_points(mean)
    np.testing.assert_allclose(points[..., :2], mesh_to_landmarks(mean))
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-9)
    expected = mesh_to_points(SYMMETRIC)
    unit = np.linalg.norm(expected[1] - expected[0])
    np.testing.assert_allclose(points, (expected - expected.mean(0)) / unit, atol=1e-6)
