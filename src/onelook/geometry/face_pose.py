"""Pose of a face in six numbers, and its fit to labeled points or meshes.

A rigid face is seen under weak perspective, as by a camera far away:

    point = size * (R X)[:2] + translation

The six numbers are the rotation vector of R (axis times angle, in radians), the translation along x and y, and the
natural logarithm of the size. Under weak perspective the size stands for the translation along z: a face twice as far
away is half as large. The face's frame has x to the right of the image, y downwards and z away from the camera, as
meshes; its origin is the mean of its five points, and its unit the distance of its eyes. So a pose without rotation
shows the face from the front, with this distance between its eyes.
"""

from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation
from torch import Tensor

from onelook.geometry.camera import axis_angle_to_matrix
from onelook.geometry.head_pose import head_axes
from onelook.geometry.mesh import mesh_to_landmarks, mirror_permutation
from onelook.geometry.procrustes import generalized_procrustes

POSE_NUMBERS = 6
FRONTAL_WEIGHT = 0.001
"""Weight of a frontal pose in a fit to points marked in the image, in squares of their unit, a face's square.

Few points determine a pose only up to the shape of the face: a longer nose is a lowered head."""
# From MediaPipe's canonical face model (Apache-2.0): half the distance between the mouth corners, and y and z of eyes,
# nose and mouth, in centimeters. Half the distance between the eyes is the first number.
_HALF_EYES, _HALF_MOUTH = 3.1511, 2.4562
_EYE, _NOSE, _MOUTH = (-2.6246, -3.4657), (1.1269, -7.4756), (4.3426, -4.2839)
_ITERATIONS = 60  # from a frontal start to 1e-5 for yaws to 75 degrees


@cache
def mean_points() -> np.ndarray:
    """Return the five points (5, 3) float64 of a mean face."""
    points = [(-_HALF_EYES, *_EYE), (_HALF_EYES, *_EYE), (0, *_NOSE), (-_HALF_MOUTH, *_MOUTH), (_HALF_MOUTH, *_MOUTH)]
    return _to_unit(np.array(points), np.array(points))


def mean_mesh(meshes: np.ndarray) -> np.ndarray:
    """Compute the mean mesh (468, 3) float64 of meshes (n, 468, 3), frontal and symmetric, in the face's frame."""
    mean = generalized_procrustes(meshes).mean(0)
    frontal = mean @ head_axes(mean)
    mirrored = frontal[mirror_permutation()] * (-1, 1, 1)
    symmetric = (frontal + mirrored) / 2
    return _to_unit(symmetric, mesh_to_points(symmetric))


def mesh_to_points(vertices: np.ndarray) -> np.ndarray:
    """Compute the five points (..., 5, 3) of meshes (..., 468, 3) in space, as `mesh_to_landmarks` in the image."""
    depths = mesh_to_landmarks(vertices[..., [2, 2]])[..., :1]
    return np.concatenate([mesh_to_landmarks(vertices), depths], -1)


def project_poses(poses: Tensor, shape: Tensor) -> Tensor:
    """Project the points (k, 3) of a face under poses (n, 6) to the image (n, k, 2)."""
    rotated = shape @ axis_angle_to_matrix(poses[:, :3]).mT
    return poses[:, None, 5:].exp() * rotated[..., :2] + poses[:, None, 3:5]


def fit_poses(targets: np.ndarray, shape: np.ndarray, frontal_weight: float = 0.0) -> np.ndarray:
    """Fit the poses (n, 6) float64 of a face by least squares to points or meshes.

    Orthogonal Procrustes fits (Kabsch), repeated for points in the image: their unknown depths are those of the face
    in its last pose, so each fit lowers the squared distances in the image.

    Args:
        targets: (n, k, 2) points, or (n, k, 3) vertices whose z has the unit of x and y. NaN for an absent one; at
            least three are present and not on a line. A pose is not finite where they are all at one place.
        shape: (k, 3) in the face's frame.
        frontal_weight: of the trace of R, which is added to the squared distances with a negative sign (a matrix
            Fisher prior). It prefers frontal poses.
    """
    has_depth = targets.shape[-1] == shape.shape[-1]
    offsets, means, moved, centers = _center(targets.astype(np.float64), shape)
    spreads = (moved**2).sum((1, 2))
    rotations = np.tile(np.eye(3), (len(targets), 1, 1))
    sizes = np.sqrt((offsets[..., :2] ** 2).sum((1, 2)) / (moved[..., :2] ** 2).sum((1, 2)))
    for _ in range(1 if has_depth else _ITERATIONS):
        if not has_depth:
            depths = sizes[:, None] * (moved @ rotations.swapaxes(1, 2))[..., 2]
            offsets = np.concatenate([offsets[..., :2], depths[..., None]], -1)
        correlations = offsets.swapaxes(1, 2) @ moved
        rotations = _nearest_rotations(sizes[:, None, None] * correlations + frontal_weight * np.eye(3))
        sizes = (rotations * correlations).sum((1, 2)) / spreads
    origins = means - sizes[:, None] * np.einsum("nij,nj->ni", rotations, centers)[:, :2]
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(sizes)[:, None]
    return np.concatenate([_to_vectors(rotations), origins, logarithms], 1)


def view_poses(poses: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """Return the poses (n, 6) of faces in views of them.

    Args:
        poses: (n, 6), with translations from the origin of the transforms.
        transforms: (n, 2, 3) similarity transforms from the view to the image, mirrored where the determinant is
            negative. A mirrored face is taken for a face of the mirrored shape, whose points have changed sides.
    """
    inverse = np.linalg.inv(transforms[..., :2])
    scales = np.sqrt(np.abs(np.linalg.det(inverse)))
    turns = np.tile(np.eye(3), (len(poses), 1, 1))
    turns[:, :2, :2] = inverse / scales[:, None, None]
    mirrors = np.tile(np.eye(3), (len(poses), 1, 1))
    mirrors[:, 0, 0] = np.sign(np.linalg.det(inverse))
    rotations = turns @ Rotation.from_rotvec(poses[:, :3]).as_matrix() @ mirrors
    shifts = np.einsum("nij,nj->ni", inverse, poses[:, 3:5] - transforms[..., 2])
    return np.concatenate([_to_vectors(rotations), shifts, poses[:, 5:] + np.log(scales)[:, None]], 1)


def _center(targets: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Subtract the means of the present targets (n, k, 2 or 3) and of the same points of a shape (k, 3).

    Returns:
        Offsets of the targets and their means (n, 2) in the image; offsets (n, k, 3) of the shape and their means
        (n, 3). Offsets of absent points are 0.
    """
    is_present = np.isfinite(targets).all(-1, keepdims=True)
    counts = is_present.sum(1, keepdims=True)
    means, centers = (np.where(is_present, each, 0).sum(1, keepdims=True) / counts for each in (targets, shape))
    offsets, moved = (np.where(is_present, each - mean, 0) for each, mean in ((targets, means), (shape, centers)))
    return offsets, means[:, 0, :2], moved, centers[:, 0]


def _nearest_rotations(matrices: np.ndarray) -> np.ndarray:
    """Return the rotations R (n, 3, 3) with the largest trace of R^T M, without reflection (Kabsch)."""
    left, _, right = np.linalg.svd(matrices)
    left[np.linalg.det(left @ right) < 0, :, 2] *= -1
    rotations: np.ndarray = left @ right
    return rotations


def _to_vectors(rotations: np.ndarray) -> np.ndarray:
    vectors: np.ndarray = Rotation.from_matrix(rotations).as_rotvec()
    return vectors


def _to_unit(shape: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move and scale a shape (k, 3) so that its five points (5, 3) have mean 0 and their eyes distance 1."""
    unit: np.ndarray = (shape - points.mean(0)) / np.linalg.norm(points[1] - points[0])
    return unit
