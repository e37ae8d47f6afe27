"""Training faces of landmark cascades: crops and views show the labeled points where the labels are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.painted_scenes import FACE_BOX, FACE_LANDMARKS, write_painted_scenes
from onelook.data.landmark_faces import (
    STORED_EXTENT,
    FaceViews,
    LandmarkFaces,
    crop_face,
    draw_views,
    from_square,
    read_landmark_faces,
    sample_views,
    to_square,
)
from onelook.data.manifest import Face, Manifest, Scene, read_manifest, write_manifest
from onelook.errors import DataError
from onelook.geometry.face_squares import FACE_EXTENT, FACE_SIDE

SIDE = round(FACE_SIDE / FACE_EXTENT * STORED_EXTENT)
POINTS = np.array([[0.3, 0.35], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.75]], np.float32)


def dotted_face(point: int) -> np.ndarray:
    """Return a stored crop that is black but for a disk at one point."""
    crop = np.zeros((SIDE, SIDE), np.uint8)
    x, y = ((POINTS[point] - 0.5) / STORED_EXTENT + 0.5) * SIDE
    cv2.circle(crop, (round(float(x) - 0.5), round(float(y) - 0.5)), 5, 255, -1)
    return crop


def centroid(image: torch.Tensor) -> np.ndarray:
    """Return the center of the bright pixels of a view, in units of the square."""
    ys, xs = np.nonzero(image.numpy() > 128)
    return (np.array([xs.mean(), ys.mean()]) + 0.5) / FACE_SIDE * FACE_EXTENT - (FACE_EXTENT - 1) / 2


def test_views_show_the_points_where_their_labels_are() -> None:
    """In mirrored views the left eye is the other one, so each point is found at its own or at its partner's label."""
    faces = LandmarkFaces(np.stack([dotted_face(point) for point in range(5)]), np.stack([POINTS] * 5))
    rows = np.tile(np.arange(5), 8)
    views = draw_views(faces, rows, np.random.default_rng(0))
    mirrored = 0
    for point, image, labels, transform in zip(
        rows, sample_views(views)[:, 0], views.points, views.transforms, strict=True
    ):
        is_mirrored = bool(torch.linalg.det(transform[:, :2]) < 0)
        mirrored += is_mirrored
        expected = labels[[1, 0, 2, 4, 3][point] if is_mirrored else point]
        np.testing.assert_allclose(centroid(image), expected.numpy(), atol=0.012)
        assert labels[0, 0] < labels[1, 0] and labels[3, 0] < labels[4, 0]
    assert 10 < mirrored < 30


def test_unmoved_view_is_the_middle_of_the_crop() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE), dtype=np.uint8)
    transforms = torch.eye(2, 3)[None]
    view = sample_views(FaceViews(torch.from_numpy(crop), transforms, torch.zeros(1, 5, 2)))
    margin = (SIDE - FACE_SIDE) // 2
    middle = torch.from_numpy(crop)[:, margin:-margin, margin:-margin]
    torch.testing.assert_close(view[0], middle.float(), atol=0.01, rtol=0)


@pytest.mark.parametrize("scale", [1, 7])
def test_crops_and_points_have_the_same_coordinates(scale: int) -> None:
    """Large faces are reduced by area averaging first."""
    box = np.array([40, 30, 120, 140], np.float32) * scale
    points = from_square(POINTS[None], box[None])[0]
    np.testing.assert_allclose(to_square(points, box), POINTS, atol=1e-6)
    image = np.zeros((170 * scale, 160 * scale), np.uint8)
    x, y = points[2]
    cv2.circle(image, (round(float(x)), round(float(y))), 4 * scale, 255, -1)
    found = centroid(torch.from_numpy(crop_face(image, box)))
    np.testing.assert_allclose(found, POINTS[2], atol=0.01)


def test_faces_without_a_labeled_point_are_left_out(tmp_path: Path) -> None:
    manifest = read_manifest(write_painted_scenes(tmp_path))
    faces = read_landmark_faces(manifest, manifest.select("train"))
    assert faces.crops.shape == (6, SIDE, SIDE)
    np.testing.assert_allclose(faces.points, [to_square(FACE_LANDMARKS, FACE_BOX)] * 6, atol=1e-3)
    bare = [
        Scene(s.image, 96, 80, "train", "scene", tuple(Face(f.box) for f in s.faces), "", "") for s in manifest.scenes
    ]
    write_manifest(tmp_path, bare)
    with pytest.raises(DataError, match="no training face of 24 pixels has a labeled point"):
        read_landmark_faces(Manifest(tmp_path, tuple(bare)), bare)
