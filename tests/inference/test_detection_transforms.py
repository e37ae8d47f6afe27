"""Detections follow the pixels of their image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.detections import Detections
from onelook.inference.detection_transforms import rotate_detections, scale_detections, shift_detections


def make_detections(height: int, width: int, count: int = 3, *, meshes: bool = True) -> Detections:
    rng = np.random.default_rng(height * 1000 + width)
    size = np.array([width, height], np.float32)
    corners = np.sort(rng.random((count, 2, 2), np.float32), axis=1) * size
    return Detections(
        corners.reshape(count, 4),
        rng.random(count, np.float32),
        rng.random((count, 5, 2), np.float32) * size,
        rng.random((count, 4), np.float32),
        rng.random((count, 468, 3), np.float32) * 50 if meshes else None,
    )


def assert_close(found: Detections, expected: Detections) -> None:
    for name, values in vars(expected).items():
        if values is None:
            assert getattr(found, name) is None
        else:
            assert getattr(found, name).dtype == np.float32
            np.testing.assert_allclose(getattr(found, name), values, atol=1e-3)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 3), st.booleans())
def test_a_rotation_and_its_inverse_restore_detections(height: int, width: int, turns: int, meshes: bool) -> None:
    detections = make_detections(height, width, meshes=meshes)
    rotated = rotate_detections(detections, turns, (height, width))
    shape = (width, height) if turns % 2 else (height, width)
    assert_close(rotate_detections(rotated, -turns, shape), detections)


@pytest.mark.parametrize("turns", range(-3, 4))
def test_boxes_and_points_rotate_with_the_pixels(turns: int) -> None:
    image = np.zeros((7, 11), np.uint8)
    image[2:4, 5:9] = 1
    box = np.array([[5, 2, 9, 4]], np.float32)
    points = np.tile(np.array([6.5, 2.5], np.float32), (1, 5, 1))  # center of the pixel in row 2 and column 6
    image[2, 6] = 2
    found = rotate_detections(
        Detections(box, np.ones(1, np.float32), points, np.zeros((1, 0), np.float32)), turns, image.shape
    )
    rotated = np.rot90(image, turns)
    left, top, right, bottom = found.boxes[0].astype(int)
    assert (rotated[top:bottom, left:right] > 0).all() and right - left > 0
    assert (right - left) * (bottom - top) == (rotated > 0).sum()
    column, row = np.floor(found.landmarks[0, 0]).astype(int)
    assert rotated[row, column] == 2


def test_scaling_and_shifting_by_hand() -> None:
    detections = make_detections(100, 200)
    scaled = scale_detections(detections, (100, 200), (50, 400))
    np.testing.assert_allclose(scaled.boxes, detections.boxes * [2, 0.5, 2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(scaled.landmarks, detections.landmarks * [2, 0.5], rtol=1e-6)
    assert scaled.meshes is not None and detections.meshes is not None
    np.testing.assert_allclose(scaled.meshes, detections.meshes * [2, 0.5, 2], rtol=1e-6)
    shifted = shift_detections(detections, 30, 7)
    np.testing.assert_allclose(shifted.boxes, detections.boxes + np.array([30, 7, 30, 7]), rtol=1e-6)
    np.testing.assert_allclose(shifted.landmarks, detections.landmarks + np.array([30, 7]), rtol=1e-6)
    assert shifted.meshes is not None
    np.testing.assert_allclose(shifted.meshes, detections.meshes + np.array([30, 7, 0]), rtol=1e-6)
    assert scale_detections(detections, (100, 200, 3), (100, 200)) is detections
