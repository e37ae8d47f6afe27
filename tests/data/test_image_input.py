"""Conversion of every type of photo to RGB uint8, or one clear error."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.photo_sources import CONVERTED, GRAY, REFUSED, RGB, gray_as_rgb, write_photo_files
from onelook.data.image_input import as_image, source_name
from onelook.data.image_io import write_image
from onelook.errors import PhotoError


@pytest.fixture(autouse=True)
def photo_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photo_files(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CONVERTED)
def test_a_photo_of_any_type_becomes_rgb(name: str) -> None:
    source, expected, tolerance = CONVERTED[name]
    image = as_image(source)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_allclose(image.astype(float), expected, atol=tolerance)


def test_paths_are_read_and_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", RGB)
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(as_image(path), RGB)
        assert source_name(path) == str(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        assert source_name(opened) == str(tmp_path / "a.png")


@pytest.mark.parametrize("channels", [3, 4])
def test_bgr_arrays_are_reversed_and_keep_alpha(channels: int) -> None:
    layers = np.dstack([RGB, np.full_like(GRAY, 255)])[:, :, :channels]
    bgr = layers[:, :, [2, 1, 0, 3][:channels]]
    np.testing.assert_array_equal(as_image(bgr, color="bgr"), RGB)
    np.testing.assert_array_equal(as_image(GRAY, color="bgr"), gray_as_rgb(GRAY))


def test_a_valid_array_is_not_copied_or_changed() -> None:
    assert as_image(RGB) is RGB


def test_an_image_of_pillow_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(np.rot90(RGB)).save(stream, "PNG", exif=exif)
    np.testing.assert_array_equal(as_image(Image.open(stream)), RGB)


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_gives_one_clear_line(name: str) -> None:
    source, message = REFUSED[name]
    with pytest.raises(PhotoError, match=message) as caught:
        as_image(source)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_an_unknown_color_order_is_refused() -> None:
    with pytest.raises(PhotoError, match="'rgb' or 'bgr'"):
        as_image(RGB, color="hsv")
