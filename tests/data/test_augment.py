from dataclasses import replace

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onelook.data.augment import Sample, apply_photometric, augment, horizontal_flip, random_crop, warp_image
from onelook.geometry.mesh import EYE_CORNERS, MOUTH_CORNERS, NOSE_TIP, NUM_VERTICES, mesh_to_landmarks
from onelook.settings import AugmentSettings

SETTINGS = AugmentSettings(
    crop_size=128,
    zoom=(0.6, 1.8),
    short_edge=None,
    min_identity_size=0.0,
    photometric=0.0,
    landmark_jitter=0.0,
    predicted_landmark_fraction=0.0,
)
POINTS = np.array([[60, 50], [84, 52], [72, 64], [62, 76], [82, 78]], np.float32)


def sample() -> Sample:
    """A dark scene with one face whose landmarks are painted as bright discs."""
    image = np.full((160, 200, 3), 20, np.uint8)
    for x, y in POINTS:
        cv2.circle(image, (int((x - 0.5) * 16), int((y - 0.5) * 16)), 3 * 16, (255,) * 3, -1, cv2.LINE_AA, 4)
    return Sample(image, np.array([[50, 40, 94, 90]], np.float32), POINTS[None], np.array([3]))


def brightness_at(image: np.ndarray, point: np.ndarray) -> int:
    x, y = np.floor(point).astype(int)
    return int(image[y, x, 0])


@given(st.integers(0, 2**32 - 1))
def test_landmarks_follow_the_pixels_through_crop_zoom_and_mirror(seed: int) -> None:
    result = augment(sample(), SETTINGS, np.random.default_rng(seed))
    assert result.image.shape == (128, 128, 3)
    for points, identity in zip(result.landmarks, result.identities, strict=True):
        inside = ((points >= 0) & (points < 128)).all()
        assert identity == (3 if inside else -1)
        for point in points[((points >= 1) & (points < 127)).all(1)]:
            assert brightness_at(result.image, point) > 180
        if inside:
            assert points[0, 0] < points[1, 0] and points[3, 0] < points[4, 0], "left stays left as seen"


@given(st.integers(0, 2**32 - 1))
def test_vertices_go_with_the_landmarks_and_depth_with_the_zoom(seed: int) -> None:
    """A mesh whose eyes and mouth lie on the landmarks still has them there."""
    mesh = np.random.default_rng(0).uniform(50, 90, (1, NUM_VERTICES, 3)).astype(np.float32)
    for (outer, inner), point in zip(EYE_CORNERS, POINTS, strict=False):
        mesh[0, [outer, inner], :2] = point + np.array([[-4, 1], [4, -1]])
    mesh[0, [NOSE_TIP, *MOUTH_CORNERS], :2] = POINTS[2:]
    result = augment(replace(sample(), meshes=mesh), SETTINGS, np.random.default_rng(seed))
    assert result.meshes is not None and len(result.meshes) == len(result.landmarks)
    for points, vertices in zip(result.landmarks, result.meshes, strict=True):
        np.testing.assert_allclose(mesh_to_landmarks(vertices), points, atol=1e-2)
        zoom = np.linalg.norm(points[1] - points[0]) / np.linalg.norm(POINTS[1] - POINTS[0])
        np.testing.assert_allclose(np.ptp(vertices[:, 2]), np.ptp(mesh[..., 2]) * zoom, rtol=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 3))
def test_a_crop_keeps_faces_whose_center_is_inside_and_clips_their_boxes(seed: int, zoom: float) -> None:
    result = random_crop(sample(), 128, zoom, np.random.default_rng(seed))
    assert ((result.boxes >= 0) & (result.boxes <= 128)).all()
    if len(result.boxes):
        whole = np.ptp(result.boxes.reshape(2, 2), axis=0)
        assert (whole <= np.array([44, 50]) * zoom + 1e-3).all()
        assert (whole >= np.array([44, 50]) * zoom / 2 - 1e-3).all()


def test_a_scene_smaller_than_the_crop_is_fully_inside() -> None:
    result = random_crop(sample(), 320, 1.0, np.random.default_rng(0))
    assert len(result.boxes) == 1 and result.identities.tolist() == [3]
    np.testing.assert_allclose(np.ptp(result.boxes.reshape(2, 2), axis=0), [44, 50], rtol=1e-5)


def test_mirroring_twice_changes_nothing() -> None:
    once, given_sample = horizontal_flip(sample()), sample()
    twice = horizontal_flip(once)
    np.testing.assert_array_equal(twice.image, given_sample.image)
    np.testing.assert_allclose(twice.boxes, given_sample.boxes)
    np.testing.assert_allclose(twice.landmarks, given_sample.landmarks)
    assert once.boxes.tolist() == [[200 - 94, 40, 200 - 50, 90]]


def test_absent_landmarks_stay_absent_and_carry_no_identity() -> None:
    given_sample = sample()
    absent = Sample(given_sample.image, given_sample.boxes, np.full((1, 5, 2), np.nan, np.float32), np.array([3]))
    result = random_crop(absent, 256, 1.0, np.random.default_rng(0))
    assert np.isnan(result.landmarks).all() and result.identities.tolist() == [-1]


def test_a_face_under_the_smallest_size_keeps_its_box_and_loses_its_identity() -> None:
    settings = SETTINGS.model_copy(update={"crop_size": 320, "zoom": (0.5, 0.5), "min_identity_size": 30.0})
    small = augment(sample(), settings, np.random.default_rng(0))
    assert len(small.boxes) == 1 and small.identities.tolist() == [-1]
    enough = augment(sample(), settings.model_copy(update={"zoom": (0.7, 0.7)}), np.random.default_rng(0))
    assert enough.identities.tolist() == [3]


def test_a_deferred_distortion_gives_the_same_sample_once_it_is_applied() -> None:
    settings = SETTINGS.model_copy(update={"photometric": 1.0})
    at_once, deferred = (
        augment(sample(), settings, np.random.default_rng(5), defer_photometric=defers) for defers in (False, True)
    )
    assert at_once.photometric is None and deferred.photometric is not None
    assert (at_once.image != deferred.image).any()
    np.testing.assert_array_equal(apply_photometric(deferred).image, at_once.image)
    np.testing.assert_array_equal(deferred.boxes, at_once.boxes)
    assert apply_photometric(at_once) is at_once


@given(st.integers(0, 2**32 - 1))
def test_short_edge_sets_the_fraction_of_the_image_in_a_crop(seed: int) -> None:
    """The crop of a face that fills the photo is as wide as the crop's fraction of it; nothing of it is gray."""
    whole = Sample(
        np.full((200, 300, 3), 7, np.uint8), np.array([[-900, -900, 1200, 1100]]), POINTS[None], np.array([-1])
    )
    changes = {"short_edge": (0.3, 0.8)}
    result = augment(whole, SETTINGS.model_copy(update=changes), np.random.default_rng(seed))
    assert (result.image[2:-2, 2:-2] == 7).all()  # at the photo's edge gray is blended in
    apart = np.linalg.norm(result.landmarks[0, 0] - result.landmarks[0, 1]) if len(result.landmarks) else None
    if apart is not None:  # 128 pixels show between 0.3 and 0.8 of 200
        original = np.linalg.norm(POINTS[0] - POINTS[1])
        assert 128 / 160 - 1e-3 <= apart / original <= 128 / 60 + 1e-3


@given(st.integers(0, 2**32 - 1))
def test_ignored_boxes_follow_the_pixels_and_are_clipped(seed: int) -> None:
    given_sample = sample()
    ignored = np.concatenate([given_sample.boxes, np.array([[400, 0, 420, 20]], np.float32)])
    result = augment(replace(given_sample, ignored=ignored), SETTINGS, np.random.default_rng(seed))
    assert ((result.ignored >= 0) & (result.ignored <= 128)).all()
    assert (result.ignored[:, 2:] > result.ignored[:, :2]).all()
    for box in result.boxes:  # the face's box is among them, cut alike
        assert np.isclose(result.ignored, box, atol=1e-4).all(1).any()


def test_a_clipped_ignored_box_is_kept_with_its_center_outside() -> None:
    """Its center is outside the crop, and what shows of it may still be part of a face."""
    image = np.zeros((64, 64, 3), np.uint8)
    box = np.array([[-40, 10, 20, 30]], np.float32)
    nobody = Sample(image, box, np.full((1, 5, 2), np.nan, np.float32), np.array([-1]), box)
    result = random_crop(nobody, 64, 1.0, np.random.default_rng(0))
    assert result.boxes.shape == (0, 4) and result.ignored.tolist() == [[0, 10, 20, 30]]
    assert horizontal_flip(result).ignored.tolist() == [[44, 10, 64, 30]]


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 4), st.sampled_from([cv2.BORDER_CONSTANT, cv2.BORDER_REFLECT_101]))
def test_a_warp_equals_that_of_opencv_with_three_channels(seed: int, zoom: float, border: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
    angle = rng.uniform(-1, 1)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = np.column_stack([linear, rng.uniform(-60, 60, 2)])
    warped = warp_image(image, transform, 64, border)
    expected = cv2.warpAffine(
        image, transform, (64, 64), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=(114, 114, 114)
    )
    assert np.abs(warped.astype(int) - expected).max() <= 1
