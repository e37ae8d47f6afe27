from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from onelook.data.image_io import read_image
from onelook.data.photo_copies import copy_photo, copy_suffix
from onelook.data.scene_dataset import read_training_image

HALF_TRANSPARENT = np.full((24, 20, 4), 90, np.uint8)
HALF_TRANSPARENT[:12, :, 3], HALF_TRANSPARENT[12:, :, 3] = 0, 255


def copy(source: Path) -> Path:
    target = source.with_name(f"copy{copy_suffix(source.name)}")
    copy_photo(source, read_image(source), target)
    return target


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png"])
@pytest.mark.parametrize("content", [".jpg", ".png"])
def test_what_training_reads_alike_is_copied_byte_for_byte(tmp_path: Path, name: str, content: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    (tmp_path / name).write_bytes(cv2.imencode(content, pixels)[1].tobytes())
    target = copy(tmp_path / name)
    assert target.suffix == Path(name).suffix.lower() and target.read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("format", ["png", "webp", "avif", "tiff"])
def test_training_sees_transparent_pictures_of_any_name_over_white(tmp_path: Path, suffix: str, format: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(HALF_TRANSPARENT).save(path, format)
    read = read_training_image(copy(path)).astype(int)
    assert np.abs(read - read_image(path)).max() <= 12
    assert np.abs(read[:8] - 255).max() <= 12 and np.abs(read[16:] - 90).max() <= 12


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_phone_photo_of_another_name_is_read_in_training(tmp_path: Path, suffix: str) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / f"a{suffix}"
    heif.from_pillow(Image.fromarray(np.full((64, 64, 3), (200, 120, 10), np.uint8))).save(path)
    assert np.abs(read_training_image(copy(path)).astype(int) - (200, 120, 10)).max() <= 8
