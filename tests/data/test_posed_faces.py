"""Training faces of FacePoseNet: poses by points and by meshes, and faces turned in 3D."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.domes import dome
from helpers.painted_scenes import FACE_BOX, FACE_LANDMARKS, write_painted_scenes
from onelook.data.label_arrays import write_meshes
from onelook.data.landmark_faces import STORED_SIDE, LandmarkFaces, mesh_to_square, to_square
from onelook.data.manifest import Manifest, missing_landmarks, read_manifest
from onelook.data.posed_faces import PosedFaces, read_posed_faces, turn_faces
from onelook.data.synthesis.turn_sampling import TurnOptions
from onelook.errors import DataError
from onelook.geometry.face_pose import mean_points, project_poses
from onelook.geometry.head_pose import head_yaw
from onelook.geometry.mesh import mesh_to_landmarks, mirror_mesh

SYMMETRIC = (dome() + mirror_mesh(dome(), 0.0)) / 2
MESH = (SYMMETRIC * 18 + (42, 40, 0)).astype(np.float32)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_manifest(write_painted_scenes(tmp_path))


def projected(posed: PosedFaces) -> np.ndarray:
    return project_poses(torch.from_numpy(posed.poses), torch.from_numpy(posed.shape)).numpy() + 0.5


def test_without_meshes_the_mean_face_is_fitted_to_the_points(manifest: Manifest) -> None:
    posed = read_posed_faces(manifest, manifest.scenes, 0)
    np.testing.assert_array_equal(posed.shape, mean_points())
    assert posed.poses.shape == (6, 6)
    np.testing.assert_allclose(projected(posed)[0], to_square(FACE_LANDMARKS, FACE_BOX), atol=0.03)


def test_faces_with_fewer_than_three_points_have_no_pose(manifest: Manifest) -> None:
    landmarks = FACE_LANDMARKS.copy()
    landmarks[2:] = np.nan
    scenes = [replace(s, faces=tuple(replace(f, landmarks=landmarks) for f in s.faces)) for s in manifest.scenes]
    with pytest.raises(DataError, match="no training face has a mesh or 3 labeled points"):
        read_posed_faces(manifest, scenes, 0)


def test_meshes_give_shape_and_poses_and_their_faces_are_turned(manifest: Manifest) -> None:
    """One face has no mesh, but points."""
    meshes = iter([MESH, None, MESH, MESH, MESH, MESH])
    write_meshes(manifest.root, manifest.scenes, lambda image, box, landmarks: next(meshes))
    posed = read_posed_faces(manifest, manifest.scenes, 0)
    assert len(posed.poses) == 6 + 2 * 5
    np.testing.assert_allclose(posed.poses[[0, 2, 3, 4, 5], :3], 0, atol=1e-4)
    np.testing.assert_allclose(projected(posed)[0], to_square(mesh_to_landmarks(MESH), FACE_BOX), atol=1e-4)
    np.testing.assert_allclose(projected(posed)[1], to_square(FACE_LANDMARKS, FACE_BOX), atol=0.1)
    np.testing.assert_allclose(projected(posed)[6:], posed.faces.points[6:], atol=1e-4)
    yaws = np.abs(np.degrees(posed.poses[6:, 1]))
    assert yaws.min() > 15 and yaws.max() < 80 and posed.faces.crops.shape == (16, STORED_SIDE, STORED_SIDE)
    again = read_posed_faces(manifest, manifest.scenes, 0)
    np.testing.assert_array_equal(again.faces.crops, posed.faces.crops)


def test_the_square_of_a_turned_face_is_as_large_beside_its_mesh() -> None:
    mesh = mesh_to_square(MESH, np.array([20, 10, 64, 66], np.float32))
    crops = np.full((1, STORED_SIDE, STORED_SIDE), 128, np.uint8)
    faces = LandmarkFaces(crops, np.zeros((1, 5, 2), np.float32), mesh[None])
    turned = turn_faces(faces, TurnOptions(4, 30, 70, 0))
    assert turned.meshes is not None and len(turned.meshes) == 4
    own, others = np.ptp(mesh[:, :2], axis=0).max(), np.ptp(turned.meshes[..., :2], axis=1).max(1)
    np.testing.assert_allclose(others, own, rtol=1e-3)
    rises = turned.meshes[..., 1].min(1) + turned.meshes[..., 1].max(1)
    np.testing.assert_allclose(rises, mesh[:, 1].min() + mesh[:, 1].max(), atol=1e-3)
    assert all(25 < abs(head_yaw(each)) < 75 for each in turned.meshes)


@pytest.mark.parametrize("points", [missing_landmarks(), np.full((5, 2), 40, np.float32)])
def test_faces_without_points_or_with_one_place_are_left_out(points: np.ndarray, manifest: Manifest) -> None:
    bare = [
        replace(s, faces=tuple(replace(f, landmarks=points) for f in s.faces)) if i == 0 else s
        for i, s in enumerate(manifest.scenes)
    ]
    posed = read_posed_faces(manifest, bare, 0)
    assert len(posed.poses) == len(posed.faces.crops) == 5 and np.isfinite(posed.poses).all()
