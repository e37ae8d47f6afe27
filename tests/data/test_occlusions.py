from collections.abc import Callable

import numpy as np
import pytest

from onelook.data.occlusions import draw_glasses, draw_mask
from onelook.geometry.alignment import REFERENCE_LANDMARKS

Draw = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def changed_pixels(draw: Draw, landmarks: np.ndarray, seed: int) -> np.ndarray:
    """Return a mask (224, 224) of the pixels of a white image that are drawn on."""
    image = np.full((224, 224, 3), 255, np.uint8)
    return (draw(image, landmarks, np.random.default_rng(seed)) != image).any(2)


def turned_landmarks(degrees: float, scale: float) -> np.ndarray:
    """Return the landmarks of a face in the middle of the image, rotated in the plane."""
    angle = np.radians(degrees)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((REFERENCE_LANDMARKS - 56) @ rotation.T + 112).astype(np.float32)


@pytest.mark.parametrize("degrees", [0, 40, 180])
@pytest.mark.parametrize("scale", [0.3, 1.2])
def test_a_mask_covers_the_mouth_and_not_the_eyes(degrees: float, scale: float) -> None:
    landmarks = turned_landmarks(degrees, scale)
    for seed in range(5):
        covered = changed_pixels(draw_mask, landmarks, seed)
        left_eye, right_eye, _, left_mouth, right_mouth = landmarks.astype(int)
        for x, y in (left_mouth, right_mouth):
            assert covered[y, x]
        for x, y in (left_eye, right_eye):
            assert not covered[y, x]


@pytest.mark.parametrize("degrees", [0, 40, 180])
def test_glasses_lie_around_the_eyes_and_leave_the_mouth_free(degrees: float) -> None:
    landmarks = turned_landmarks(degrees, 1.0)
    for seed in range(5):
        drawn = changed_pixels(draw_glasses, landmarks, seed)
        rows, columns = np.nonzero(drawn)
        middle = landmarks[:2].mean(0)
        center = np.array([columns.mean(), rows.mean()])
        assert np.linalg.norm(center - middle) < 8
        for x, y in landmarks[3:].astype(int):
            assert not drawn[y, x]


@pytest.mark.parametrize("draw", [draw_mask, draw_glasses])
def test_a_face_outside_the_image_or_in_profile_is_no_error(draw: Draw) -> None:
    changed_pixels(draw, turned_landmarks(0, 1.0) + 500, 0)
    profile = turned_landmarks(0, 1.0)
    profile[:, 0] = profile[:, 0].mean()
    assert changed_pixels(draw, profile, 0).any()
