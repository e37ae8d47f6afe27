"""Training faces of FacePoseNet: gray crops with the pose of a mean face, and versions of them turned in 3D.

| labels of a face | pose |
|---|---|
| a mesh | rigid fit of the mean mesh to it |
| at least three points | fit of the mean face's five points to them, which prefers frontal poses |

With mesh labels the mean mesh is that of the training faces, and its five points are the face that is projected.
Without any it is the mean face of `geometry/face_pose.py`. Only faces with a mesh are turned in 3D.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from onelook.data.label_arrays import read_meshes
from onelook.data.landmark_faces import (
    STORED_EXTENT,
    STORED_SIDE,
    LandmarkFaces,
    crop_face,
    mesh_to_square,
    read_landmark_faces,
)
from onelook.data.manifest import Manifest, Scene
from onelook.data.synthesis.turn_sampling import TurnOptions, sample_turns
from onelook.errors import DataError
from onelook.geometry.face_pose import FRONTAL_WEIGHT, fit_poses, mean_mesh, mean_points, mesh_to_points
from onelook.geometry.mesh import mesh_to_landmarks

MIN_POINTS = 3
"""Labeled points below which a face without a mesh has no pose."""
_TURNS, _TURNED_YAWS = 2, (20.0, 75.0)
"""Turned versions of a face, and the range of their absolute yaws in degrees: `data/synthesis` is plausible to 75."""


@dataclass(frozen=True, eq=False)
class PosedFaces:
    """Training faces with poses.

    Attributes:
        faces: crops and points, in units of the square.
        poses: (n, 6) float64, in units of the square from its center.
        shape: (5, 3) float64, the points of the face that has these poses.
    """

    faces: LandmarkFaces
    poses: np.ndarray
    shape: np.ndarray


def read_posed_faces(manifest: Manifest, scenes: Iterable[Scene], seed: int) -> PosedFaces:
    """Read the faces of scenes as `read_landmark_faces`, fit their poses, and turn those with a mesh.

    Args:
        manifest: of the scenes; its mesh labels are used where there are any.
        scenes: the scenes.
        seed: of the turns.

    Raises:
        DataError: no face has a mesh or three labeled points, or the mesh labels are damaged.
    """
    faces = read_landmark_faces(manifest, scenes, read_meshes(manifest))
    is_usable = np.isfinite(faces.points).all(-1).sum(1) >= MIN_POINTS
    if faces.meshes is not None:
        is_usable |= np.isfinite(faces.meshes).all((1, 2))
    posed = _fit_faces(_select(faces, is_usable), seed)
    is_fitted = np.isfinite(posed.poses).all(1)  # not where all points are at one place
    if not is_fitted.any():
        raise DataError(
            f"{manifest.root}: no training face has a mesh or {MIN_POINTS} labeled points, so no pose can be fitted; "
            "prepare photos with points, or take landmarks_face_pose_net out of baselines"
        )
    return PosedFaces(_select(posed.faces, is_fitted), posed.poses[is_fitted], posed.shape)


def _fit_faces(faces: LandmarkFaces, seed: int) -> PosedFaces:
    """Fit the poses of faces, and turn those with a mesh."""
    if faces.meshes is None or not (has_mesh := np.isfinite(faces.meshes).all((1, 2))).any():
        return PosedFaces(faces, _fit_points(faces.points, mean_points()), mean_points())
    mesh = mean_mesh(faces.meshes[has_mesh])
    turned = turn_faces(_select(faces, has_mesh), TurnOptions(_TURNS, *_TURNED_YAWS, seed))
    both = _concatenate(faces, turned)
    return PosedFaces(both, _fit(both, mesh), mesh_to_points(mesh))


def turn_faces(faces: LandmarkFaces, options: TurnOptions) -> LandmarkFaces:
    """Turn faces in 3D, in their crops; all of them have a mesh.

    The square of a turned face has the same proportions to the box of its mesh as that of the face.

    Returns:
        The turned faces, at most `options.count` of each. Their points are those of the turned mesh.
    """
    assert faces.meshes is not None
    rng = np.random.default_rng(options.seed)
    crops, meshes = [np.zeros((0, STORED_SIDE, STORED_SIDE), np.uint8)], [faces.meshes[:0]]
    for crop, mesh in zip(faces.crops, faces.meshes, strict=True):
        vertices = mesh.astype(np.float64)
        vertices[:, :2] = (vertices[:, :2] - 0.5) / STORED_EXTENT + 0.5
        vertices[:, 2] /= STORED_EXTENT
        vertices *= STORED_SIDE
        center, size = _bound(vertices)
        square = STORED_SIDE / STORED_EXTENT
        rise = (STORED_SIDE / 2 - center[1]) / size
        for turned in sample_turns(cv2.cvtColor(crop, cv2.COLOR_GRAY2RGB), vertices, options, rng):
            turned_center, turned_size = _bound(turned.vertices)
            middle = turned_center + np.array([0, rise * turned_size])
            half = square / size * turned_size / 2
            box = np.concatenate([middle - half, middle + half])
            crops.append(crop_face(turned.image[..., 0], box, STORED_EXTENT, STORED_SIDE)[None])
            meshes.append(mesh_to_square(turned.vertices, box)[None].astype(np.float32))
    turned_meshes = np.concatenate(meshes)
    return LandmarkFaces(np.concatenate(crops), mesh_to_landmarks(turned_meshes), turned_meshes)


def _bound(vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """Return center (2,) and longer side of the box of a mesh (468, 3)."""
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    return (low + high) / 2, float((high - low).max())


def _fit(faces: LandmarkFaces, mesh: np.ndarray) -> np.ndarray:
    """Fit poses (n, 6) of a mean mesh to meshes, and of its five points where there are none."""
    assert faces.meshes is not None
    has_mesh = np.isfinite(faces.meshes).all((1, 2))
    poses = np.empty((len(has_mesh), 6))
    poses[has_mesh] = fit_poses(faces.meshes[has_mesh] - (0.5, 0.5, 0), mesh)
    poses[~has_mesh] = _fit_points(faces.points[~has_mesh], mesh_to_points(mesh))
    return poses


def _fit_points(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return fit_poses(points - 0.5, shape, FRONTAL_WEIGHT)


def _select(faces: LandmarkFaces, rows: np.ndarray) -> LandmarkFaces:
    meshes = None if faces.meshes is None else faces.meshes[rows]
    return replace(faces, crops=faces.crops[rows], points=faces.points[rows], meshes=meshes)


def _concatenate(first: LandmarkFaces, second: LandmarkFaces) -> LandmarkFaces:
    assert first.meshes is not None and second.meshes is not None
    return LandmarkFaces(
        np.concatenate([first.crops, second.crops]),
        np.concatenate([first.points, second.points]),
        np.concatenate([first.meshes, second.meshes]),
    )
