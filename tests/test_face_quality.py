import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.detections import Detections
from onelook.face_quality import (
    FULL_WEIGHT_SHARPNESS,
    FULL_WEIGHT_SIZE,
    MIN_SHARPNESS,
    MIN_SIZE,
    Quality,
    QualityLimits,
    measure_face,
    measure_faces,
    measure_profile,
    measure_sharpness,
    quality_problem,
)
from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS


def landmarks_at(side: float) -> np.ndarray:
    """Return the landmarks of a face that fills a square of this side at the origin."""
    return REFERENCE_LANDMARKS * (side / CROP_SIZE)


def sharpness(image: np.ndarray, landmarks: np.ndarray) -> float:
    (value,) = measure_sharpness([(image, landmarks)])
    return value


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.repeat(np.random.default_rng(seed).integers(0, 256, (side, side, 1), np.uint8), 3, axis=2)


def test_sharpness_of_a_plain_surface_is_zero_and_of_noise_twenty() -> None:
    assert sharpness(np.full((80, 80, 3), 90, np.uint8), landmarks_at(60)) == 0
    # Each difference of four neighbors to four times the middle has 16 + 4 times the variance of a pixel.
    values = [sharpness(noise(28, seed), landmarks_at(28)) for seed in range(40)]
    assert np.mean(values) == pytest.approx(20, rel=0.05)


def test_sharpness_without_landmark_extent_is_zero() -> None:
    assert sharpness(noise(28), np.full((5, 2), 14.0)) == 0


def test_sharpness_of_stripes_by_hand() -> None:
    # sin(2 pi x / 8) goes through the Laplacian as 2 cos(2 pi / 8) - 2 = -0.586 times itself: squared 0.343.
    stripes = 128 + 100 * np.sin(2 * np.pi * np.arange(28) / 8)
    image = np.repeat(np.repeat(stripes[None, :, None], 28, axis=0), 3, axis=2).round().astype(np.uint8)
    assert sharpness(image, landmarks_at(28)) == pytest.approx(0.343, rel=0.01)


@pytest.mark.parametrize("angle", [0, 35, 180])
@pytest.mark.parametrize(("offset", "expected"), [(0, 0), (0.2, 0.2), (-0.5, 0.5)])
def test_profile_is_the_offset_of_the_nose_from_the_midline(angle: float, offset: float, expected: float) -> None:
    # Midline of length 40 from (30, 30) to (30, 70); a foreshortened distance of the eyes does not matter.
    points = np.array([[25, 30], [35, 30], [30 + 40 * offset, 50], [26, 70], [34, 70]], np.float64)
    turn = np.radians(angle)
    rotated = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * 1.7 + 5
    assert measure_profile(rotated) == pytest.approx(expected)
    assert measure_profile(np.full((5, 2), 3.0)) == 0


def test_problems_beyond_limits_are_described() -> None:
    limits = QualityLimits(size=24, sharpness=0.3, profile=0.25)
    good = Quality(score=1, size=24, sharpness=0.3, profile=0.25)
    assert limits.describe_problems(good) is None
    assert limits.describe_problems(Quality(score=1, size=22.4, sharpness=0.2, profile=0.3)) == (
        "22 px, blurred, in profile"
    )
    assert limits.describe_problems(good.model_copy(update={"profile": None})) is None
    assert "from the front" in (quality_problem(good.model_copy(update={"profile": 0.3}), limits) or "")


def test_blur_lowers_sharpness_and_contrast_and_image_size_do_not() -> None:
    small = cv2.GaussianBlur(noise(56), (0, 0), 1.5)
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    sharp = sharpness(small, landmarks_at(56))
    assert sharpness(large, landmarks_at(224)) == pytest.approx(sharp, rel=0.1)
    assert sharpness((small // 2 + 10).astype(np.uint8), landmarks_at(56)) == pytest.approx(sharp, rel=0.1)
    blurred = [sharpness(cv2.GaussianBlur(large, (0, 0), sigma), landmarks_at(224)) for sigma in (3, 6, 12)]
    assert sharp > blurred[0] > blurred[1] > blurred[2]


def test_the_surroundings_of_the_face_do_not_count() -> None:
    image = cv2.GaussianBlur(noise(112), (0, 0), 6)
    framed = image.copy()
    framed[:, :14] = framed[:, -14:] = framed[:14] = 255
    assert sharpness(framed, landmarks_at(112)) == pytest.approx(sharpness(image, landmarks_at(112)), rel=1e-6)


def test_measuring_many_faces_equals_measuring_each() -> None:
    sides = [28, 56, 112, 31]
    faces = [(noise(side + 9, side), np.array([0, 0, side, side + 5.0]), landmarks_at(side), 0.9) for side in sides]
    alone = [measure_face(*face, 40) for face in faces]
    for one, batched in zip(alone, measure_faces(faces, 40), strict=True):
        assert batched.model_dump() == pytest.approx(one.model_dump(), rel=1e-12)
    assert measure_faces([], 40) == []


@pytest.mark.parametrize(("longest_side", "size"), [(1280, 50.0), (400, 50.0), (300, 37.5), (200, 50.0)])
def test_the_size_is_in_pixels_of_the_pass_that_embeds_the_face(longest_side: int, size: float) -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    box = np.asarray([[10, 20, 10 + 25, 20 + 100]], np.float32)
    detected = Detections(box, np.asarray([0.75], np.float32), landmarks_at(50)[None], np.zeros((1, 4), np.float32))
    quality = measure_face(image, detected.boxes[0], detected.landmarks[0], detected.scores[0], longest_side)
    assert (quality.size, quality.score) == (pytest.approx(size), 0.75)


def test_weight_by_hand() -> None:
    full = Quality(score=0.9, size=2 * FULL_WEIGHT_SIZE, sharpness=FULL_WEIGHT_SHARPNESS)
    assert full.weight == pytest.approx(0.9)
    assert full.model_copy(update={"size": FULL_WEIGHT_SIZE / 2}).weight == pytest.approx(0.45)
    assert full.model_copy(update={"sharpness": FULL_WEIGHT_SHARPNESS / 4}).weight == pytest.approx(0.225)
    assert full.model_copy(update={"sharpness": 0.0}).weight == pytest.approx(0.09)


@given(st.floats(0.01, 1), st.floats(0, 2000), st.floats(0, 30), st.floats(1, 3))
def test_the_weight_lies_in_0_to_1_and_grows_with_quality(
    score: float, size: float, sharp: float, factor: float
) -> None:
    weight = Quality(score=score, size=size, sharpness=sharp).weight
    assert 0 < weight <= 1
    assert Quality(score=score, size=size * factor, sharpness=sharp * factor).weight >= weight


def test_small_and_blurred_faces_are_refused() -> None:
    good = Quality(score=0.9, size=MIN_SIZE, sharpness=MIN_SHARPNESS)
    assert quality_problem(good) is None
    assert "pixels large" in (quality_problem(good.model_copy(update={"size": MIN_SIZE - 1})) or "")
    assert "blurred" in (quality_problem(good.model_copy(update={"sharpness": MIN_SHARPNESS * 0.9})) or "")
