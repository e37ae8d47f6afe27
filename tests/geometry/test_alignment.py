import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.alignment import (
    REFERENCE_LANDMARKS,
    align_crop,
    apply_transform,
    crop_square,
    mirror_landmarks,
    similarity_transform,
)

angle = st.floats(-3.1, 3.1)
scale = st.floats(0.1, 10)
shift = st.floats(-300, 300)


def similarity(turn: float, size: float, x: float, y: float) -> np.ndarray:
    real, imaginary = size * np.cos(turn), size * np.sin(turn)
    return np.array([[real, -imaginary, x], [imaginary, real, y]])


@given(angle, scale, shift, shift)
def test_a_similarity_is_found_exactly(turn: float, size: float, x: float, y: float) -> None:
    transform = similarity(turn, size, x, y)
    source = REFERENCE_LANDMARKS.astype(np.float64)
    found = similarity_transform(source, apply_transform(transform, source))
    np.testing.assert_allclose(found, transform, atol=1e-6)


def test_noisy_points_get_the_least_squares_answer() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    # x' = a x - b y + c, y' = b x + a y + d, as an ordinary least-squares problem.
    rows_x = np.stack([source[:, 0], -source[:, 1], np.ones(5), np.zeros(5)], 1)
    rows_y = np.stack([source[:, 1], source[:, 0], np.zeros(5), np.ones(5)], 1)
    a, b, c, d = np.linalg.lstsq(np.concatenate([rows_x, rows_y]), target.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(similarity_transform(source, target), [[a, -b, c], [b, a, d]], atol=1e-9)


def test_batches_of_tensors_agree_with_single_arrays() -> None:
    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 5, 2))
    together = similarity_transform(torch.from_numpy(source), torch.from_numpy(target))
    for i in range(4):
        np.testing.assert_allclose(together[i].numpy(), similarity_transform(source[i], target[i]), atol=1e-12)


@pytest.mark.parametrize("zoom", [0.8, 2.0, 7.0])
def test_an_aligned_crop_puts_the_landmarks_on_the_template(zoom: float) -> None:
    """Discs painted at the landmarks of a turned, scaled face are found at the template's points."""
    transform = similarity(0.4, zoom, 120 * zoom, 40 * zoom)
    landmarks = apply_transform(transform, REFERENCE_LANDMARKS.astype(np.float64))
    photo = np.zeros((int(260 * zoom), int(320 * zoom), 3), np.uint8)
    for x, y in landmarks:
        cv2.circle(
            photo, (round((x - 0.5) * 16), round((y - 0.5) * 16)), round(3 * zoom * 16), (255,) * 3, -1, cv2.LINE_AA, 4
        )
    crop = align_crop(photo, landmarks, 112)[..., 0].astype(np.float64)
    y, x = np.mgrid[0:112, 0:112] + 0.5
    for point in REFERENCE_LANDMARKS:
        near = (x - point[0]) ** 2 + (y - point[1]) ** 2 < 36
        weights = crop * near
        center = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
        np.testing.assert_allclose(center, point, atol=0.35)


@given(st.integers(0, 2**31), angle, st.integers(2, 9), st.floats(-200, 500), st.floats(-200, 500))
def test_a_large_face_is_cut_out_of_means_of_squares_of_pixels(
    seed: int, turn: float, times: int, x: float, y: float
) -> None:
    """Wherever it lies, as if the whole photo, whose sides are whole numbers of squares, were reduced."""
    photo = np.random.default_rng(seed).integers(0, 256, (30 * times, 40 * times, 3), np.uint8)
    landmarks = apply_transform(similarity(turn, 1.05 * times / 4, x, y), REFERENCE_LANDMARKS.astype(np.float64))
    means = cv2.resize(photo, (40, 30), interpolation=cv2.INTER_AREA)
    crop, twin = align_crop(photo, landmarks, 28), align_crop(means, landmarks / times, 28)
    assert np.abs(crop.astype(int) - twin).max() <= 1


def test_a_face_much_larger_than_the_photo_is_cut_out_of_what_there_is() -> None:
    photo = np.full((3, 5, 3), 90, np.uint8)
    crop = align_crop(photo, REFERENCE_LANDMARKS * 20 - 800, 28)
    assert crop.shape == (28, 28, 3) and crop.max() <= 90


def test_mirroring_swaps_left_and_right_and_is_its_own_inverse() -> None:
    mirrored = mirror_landmarks(REFERENCE_LANDMARKS, 112)
    assert mirrored[0, 0] < mirrored[1, 0] and mirrored[3, 0] < mirrored[4, 0]
    np.testing.assert_allclose(mirrored[0], [112 - REFERENCE_LANDMARKS[1, 0], REFERENCE_LANDMARKS[1, 1]])
    np.testing.assert_allclose(mirror_landmarks(mirrored, 112), REFERENCE_LANDMARKS, rtol=1e-6)


def test_a_square_around_a_box_shows_what_its_transform_says() -> None:
    """A box of 40 x 20 around (50, 70): the square of twice the longer side is 80 wide, shown at a quarter more."""
    photo = np.zeros((120, 160, 3), np.uint8)
    photo[60:64, 80:84] = 255  # its middle is (82, 62)
    crop, transform = crop_square(photo, np.array([30, 60, 70, 80], np.float32), extent=2.0, size=100)
    np.testing.assert_allclose(
        apply_transform(transform, np.array([[50.0, 70], [10, 30], [90, 110]])), [[50, 50], [0, 0], [100, 100]]
    )
    rows, columns = np.nonzero(crop[..., 0] > 127)
    place = apply_transform(transform, np.array([[82.0, 62]]))[0]
    assert place == pytest.approx([90, 40])
    assert ((columns + 0.5).mean(), (rows + 0.5).mean()) == pytest.approx(tuple(place), abs=0.01)
    assert crop_square(photo, np.array([-30, -30, 30, 30], np.float32), 1.0, 60)[0][:30, :30].max() == 0
