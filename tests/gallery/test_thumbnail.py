"""Thumbnails: crop, margin and determinism."""

import base64

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.data.image_io import decode_image
from onelook.gallery.thumbnail import THUMBNAIL_SIZE, make_thumbnail


def decoded(photo: np.ndarray, *box: float) -> np.ndarray:
    return decode_image(base64.b64decode(make_thumbnail(photo, np.asarray(box, np.float32))), "thumbnail")


def test_thumbnail_adds_a_margin_of_a_quarter() -> None:
    photo = np.zeros((300, 400, 3), np.uint8)
    photo[100:164, 200:264] = (0, 200, 0)  # 64 pixels of 96 at a scale of one
    picture = decoded(photo, 200, 100, 264, 164)
    assert picture.shape == (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)
    green = picture[:, :, 1] > 100
    np.testing.assert_array_equal(np.flatnonzero(green.any(1))[[0, -1]], [16, 79])
    np.testing.assert_array_equal(np.flatnonzero(green.any(0))[[0, -1]], [16, 79])


def test_a_tall_box_is_centered_and_not_stretched() -> None:
    photo = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(photo, (200, 200), 40, (255, 255, 255), -1)
    light = decoded(photo, 180, 136, 220, 264)[:, :, 0] > 127  # 128 pixels high: half of its size
    rows, columns = np.flatnonzero(light.any(1)), np.flatnonzero(light.any(0))
    assert len(rows) == pytest.approx(40, abs=2)
    assert len(columns) == pytest.approx(len(rows), abs=1)
    assert np.mean(rows) == pytest.approx(47.5, abs=1)
    assert np.mean(columns) == pytest.approx(47.5, abs=1)


@given(
    st.tuples(*[st.floats(-500, 500, width=32)] * 2),
    st.tuples(*[st.floats(0, 600, width=32)] * 2),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_any_box_gives_a_thumbnail_filled_with_image_pixels(
    corner: tuple[float, float], sides: tuple[float, float], height: int, width: int
) -> None:
    photo = np.full((height, width, 3), (90, 160, 30), np.uint8)
    box = np.concatenate([corner, np.add(corner, sides)]).astype(np.float32)
    picture = decoded(photo, *box)
    assert picture.shape == (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)
    assert np.abs(picture.astype(int) - (90, 160, 30)).max() <= 4


def test_thumbnails_are_deterministic_and_small() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    photo = cv2.GaussianBlur(photo, (0, 0), 2)
    box = np.asarray([50, 50, 150, 150], np.float32)
    assert make_thumbnail(photo, box) == make_thumbnail(photo.copy(), box.copy())
    assert len(make_thumbnail(photo, box)) < 8000
