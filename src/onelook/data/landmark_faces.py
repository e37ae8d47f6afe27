"""Training faces of landmark cascades: gray crops in one array, and views of them with random boxes.

Points are fractions of the square of the face's box (`geometry/face_squares.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.data.image_io import read_image
from onelook.data.manifest import Face, Manifest, Scene
from onelook.errors import DataError
from onelook.geometry.alignment import crop_square
from onelook.geometry.face_squares import FACE_EXTENT, FACE_SIDE

STORED_EXTENT = 2.0
"""Side of a stored crop, as a multiple of the square of the box; a view of a moved box needs the margin."""
STORED_SIDE = round(FACE_SIDE / FACE_EXTENT * STORED_EXTENT)
"""Side of a stored crop, in pixels."""
MIN_SIZE = 24
"""Shortest square of a training face, in pixels of its photo."""

# Views: largest shift and log scale of the box, and standard deviation and limit of the rotation in degrees.
_SHIFT, _LOG_SCALE = 0.08, 0.12
_ROTATION_STD, _MAX_ROTATION = 12.0, 30.0
_MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True, eq=False)
class LandmarkFaces:
    """Training faces.

    Attributes:
        crops: (n, side, side) uint8, gray, of `STORED_EXTENT` squares.
        points: (n, 5, 2) float32 in units of the square; NaN for a point without a label.
        meshes: (n, 468, 3) float32 likewise, NaN for a face without a mesh; None without mesh labels.
    """

    crops: np.ndarray
    points: np.ndarray
    meshes: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class FaceViews:
    """Views of n stored faces, as tensors of one device.

    Attributes:
        crops: (n, side, side) uint8.
        transforms: (n, 2, 3) float32 from the view to the stored crop, in units of the square around its center.
        points: (n, 5, 2) float32 in the view; NaN for a point without a label.
    """

    crops: Tensor
    transforms: Tensor
    points: Tensor


def read_landmark_faces(
    manifest: Manifest, scenes: Iterable[Scene], meshes: Mapping[str, np.ndarray] | None = None
) -> LandmarkFaces:
    """Crop the faces of scenes that have a labeled point and are at least `MIN_SIZE` large.

    Args:
        manifest: of the scenes.
        scenes: the scenes.
        meshes: of all faces by the scene's image, as `read_meshes` returns them.

    Raises:
        DataError: there is none.
    """
    crops, points, vertices = [], [], []
    for scene in scenes:
        rows = [row for row, face in enumerate(scene.faces) if _is_usable(face)]
        if not rows:
            continue
        gray = cv2.cvtColor(read_image(manifest.path(scene)), cv2.COLOR_RGB2GRAY)
        for row in rows:
            face = scene.faces[row]
            crops.append(crop_face(gray, face.box, STORED_EXTENT, STORED_SIDE))
            points.append(to_square(face.landmarks, face.box))
            if meshes is not None:
                vertices.append(mesh_to_square(meshes[scene.image][row], face.box))
    if not crops:
        raise DataError(
            f"{manifest.root}: no training face of {MIN_SIZE} pixels has a labeled point, so no landmark cascade can "
            "be trained; prepare photos with points, or take landmarks_* out of baselines"
        )
    stacked = None if meshes is None else np.stack(vertices).astype(np.float32)
    return LandmarkFaces(np.stack(crops), np.stack(points).astype(np.float32), stacked)


def crop_face(gray: np.ndarray, box: np.ndarray, extent: float = FACE_EXTENT, side: int = FACE_SIDE) -> np.ndarray:
    """Crop the square around a box, averaging areas where it becomes smaller; black outside the image.

    Args:
        gray: (H, W) uint8.
        box: (4,) x1 y1 x2 y2 in pixels.
        extent: side of the crop, as a multiple of the longer side of the box.
        side: of the crop, in pixels.

    Returns:
        (side, side) uint8.
    """
    factor = int(extent * float((box[2:] - box[:2]).max()) // side)
    if factor > 1:
        height, width = gray.shape
        shape = max(1, width // factor), max(1, height // factor)
        gray = cv2.resize(gray, shape, interpolation=cv2.INTER_AREA)
        box = box * np.tile([shape[0] / width, shape[1] / height], 2)
    return crop_square(gray, box, extent, side)[0]


def to_square(points: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Convert points (..., 2) in pixels to units of the square of a box (4,)."""
    side = max(float((box[2:] - box[:2]).max()), 1e-6)
    converted: np.ndarray = (points - (box[:2] + box[2:]) / 2) / side + 0.5
    return converted


def mesh_to_square(vertices: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Convert vertices (..., 3) as `to_square`; z is in the same unit."""
    side = max(float((box[2:] - box[:2]).max()), 1e-6)
    return np.concatenate([to_square(vertices[..., :2], box), vertices[..., 2:] / side], -1)


def from_square(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Convert points (n, 5, 2) in units of the squares of boxes (n, 4) to pixels."""
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)[:, None, None]
    converted: np.ndarray = (points - 0.5) * sides + ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]
    return converted


def draw_views(faces: LandmarkFaces, rows: Sequence[int] | np.ndarray, rng: np.random.Generator) -> FaceViews:
    """Draw a view of each face: a moved and rotated box, mirrored in half of the views.

    Args:
        faces: the training faces.
        rows: (n,) of the faces.
        rng: of the step.
    """
    count = len(rows)
    shifts = rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    scales = np.exp(rng.uniform(-_LOG_SCALE, _LOG_SCALE, count))
    angles = np.radians(rng.normal(0, _ROTATION_STD, count).clip(-_MAX_ROTATION, _MAX_ROTATION))
    is_mirrored = rng.random(count) < 0.5
    cosines, sines = np.cos(angles) * scales, np.sin(angles) * scales
    matrices = np.stack([np.stack([cosines, -sines], 1), np.stack([sines, cosines], 1)], 1)
    matrices[is_mirrored, :, 0] *= -1
    points = (faces.points[rows] - 0.5 - shifts[:, None]) @ np.linalg.inv(matrices).swapaxes(1, 2) + 0.5
    points[is_mirrored] = points[is_mirrored][:, _MIRRORED]
    transforms = np.concatenate([matrices, shifts[..., None]], 2)
    return FaceViews(
        torch.from_numpy(faces.crops[rows]),
        torch.from_numpy(transforms.astype(np.float32)),
        torch.from_numpy(points.astype(np.float32)),
    )


def sample_views(views: FaceViews) -> Tensor:
    """Sample the face images (n, 1, side, side) float32 of views, in 0..255, on their device."""
    count = len(views.crops)
    steps = (torch.arange(FACE_SIDE, device=views.transforms.device, dtype=torch.float32) + 0.5) / FACE_SIDE
    axis = (steps - 0.5) * FACE_EXTENT
    places = torch.stack([axis.expand(FACE_SIDE, -1), axis[:, None].expand(-1, FACE_SIDE)], -1).flatten(0, 1)
    moved = places @ views.transforms[..., :2].mT + views.transforms[:, None, :, 2]
    grid = (moved * (2 / STORED_EXTENT)).view(count, FACE_SIDE, FACE_SIDE, 2)
    crops = views.crops[:, None].float()
    return torch.nn.functional.grid_sample(crops, grid, align_corners=False)


def _is_usable(face: Face) -> bool:
    is_large = float((face.box[2:] - face.box[:2]).max()) >= MIN_SIZE
    return is_large and bool(np.isfinite(face.landmarks).all(-1).any())
