"""What is measured of a face: sharpness, size, and the weight they make."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.detections import Detections
from onelook.gallery.face_quality import (
    FULL_SHARPNESS,
    FULL_SIZE,
    LEAST_SHARPNESS,
    LEAST_SIZE,
    Quality,
    measure_face,
    measure_faces,
    quality_problem,
)
from onelook.gallery.face_quality import sharpness as sharpness_of_all
from onelook.geometry.alignment import CROP, TEMPLATE


def at(side: float) -> np.ndarray:
    """The landmarks of a face that fills a square of this side from the corner on."""
    return TEMPLATE * (side / CROP)


def sharpness(photo: np.ndarray, landmarks: np.ndarray) -> float:
    (value,) = sharpness_of_all([(photo, landmarks)])
    return value


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.repeat(np.random.default_rng(seed).integers(0, 256, (side, side, 1), np.uint8), 3, axis=2)


def test_a_plain_surface_has_no_sharpness_and_noise_has_twenty() -> None:
    assert sharpness(np.full((80, 80, 3), 90, np.uint8), at(60)) == 0
    # Each difference of four neighbors to four times the middle has 16 + 4 times the variance of a pixel.
    values = [sharpness(noise(28, seed), at(28)) for seed in range(40)]
    assert np.mean(values) == pytest.approx(20, rel=0.05)


def test_of_stripes_by_hand() -> None:
    # sin(2 pi x / 8) goes through the Laplacian as 2 cos(2 pi / 8) - 2 = -0.586 times itself: squared 0.343.
    stripes = 128 + 100 * np.sin(2 * np.pi * np.arange(28) / 8)
    photo = np.repeat(np.repeat(stripes[None, :, None], 28, axis=0), 3, axis=2).round().astype(np.uint8)
    assert sharpness(photo, at(28)) == pytest.approx(0.343, rel=0.01)


def test_contrast_and_the_photos_size_do_not_change_it_and_blur_does() -> None:
    small = cv2.GaussianBlur(noise(56), (0, 0), 1.5)
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    sharp = sharpness(small, at(56))
    assert sharpness(large, at(224)) == pytest.approx(sharp, rel=0.1)
    assert sharpness((small // 2 + 10).astype(np.uint8), at(56)) == pytest.approx(sharp, rel=0.1)
    blurred = [sharpness(cv2.GaussianBlur(large, (0, 0), sigma), at(224)) for sigma in (3, 6, 12)]
    assert sharp > blurred[0] > blurred[1] > blurred[2]


def test_what_lies_beside_the_face_does_not_count() -> None:
    photo = cv2.GaussianBlur(noise(112), (0, 0), 6)
    framed = photo.copy()
    framed[:, :14] = framed[:, -14:] = framed[:14] = 255
    assert sharpness(framed, at(112)) == pytest.approx(sharpness(photo, at(112)), rel=1e-6)


def test_faces_measured_together_are_as_measured_alone() -> None:
    sides = [28, 56, 112, 31]
    faces = [(noise(side + 9, side), np.array([0, 0, side, side + 5.0]), at(side), 0.9) for side in sides]
    alone = [measure_face(*face, 40) for face in faces]
    for one, together in zip(alone, measure_faces(faces, 40), strict=True):
        assert together.model_dump() == pytest.approx(one.model_dump(), rel=1e-12)
    assert measure_faces([], 40) == []


@pytest.mark.parametrize(("longest_side", "size"), [(1280, 50.0), (400, 50.0), (200, 25.0)])
def test_the_size_is_the_one_the_network_sees(longest_side: int, size: float) -> None:
    photo = np.zeros((300, 400, 3), np.uint8)
    box = np.asarray([[10, 20, 10 + 25, 20 + 100]], np.float32)
    found = Detections(box, np.asarray([0.75], np.float32), at(50)[None], np.zeros((1, 4), np.float32))
    quality = measure_face(photo, found.boxes[0], found.landmarks[0], found.scores[0], longest_side)
    assert (quality.size, quality.score) == (pytest.approx(size), 0.75)


def test_the_weight_by_hand() -> None:
    full = Quality(score=0.9, size=2 * FULL_SIZE, sharpness=FULL_SHARPNESS)
    assert full.weight == pytest.approx(0.9)
    assert full.model_copy(update={"size": FULL_SIZE / 2}).weight == pytest.approx(0.45)
    assert full.model_copy(update={"sharpness": FULL_SHARPNESS / 4}).weight == pytest.approx(0.225)
    assert full.model_copy(update={"sharpness": 0.0}).weight == pytest.approx(0.09)


@given(st.floats(0.01, 1), st.floats(0, 2000), st.floats(0, 30), st.floats(1, 3))
def test_a_weight_is_above_none_at_most_one_and_grows_with_quality(
    score: float, size: float, sharp: float, factor: float
) -> None:
    weight = Quality(score=score, size=size, sharpness=sharp).weight
    assert 0 < weight <= 1
    assert Quality(score=score, size=size * factor, sharpness=sharp * factor).weight >= weight


def test_small_and_blurred_faces_are_told() -> None:
    good = Quality(score=0.9, size=LEAST_SIZE, sharpness=LEAST_SHARPNESS)
    assert quality_problem(good) is None
    assert "pixels large" in (quality_problem(good.model_copy(update={"size": LEAST_SIZE - 1})) or "")
    assert "blurred" in (quality_problem(good.model_copy(update={"sharpness": LEAST_SHARPNESS * 0.9})) or "")
