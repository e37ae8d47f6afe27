"""Copies of photos in the data folder, as training reads them."""

import shutil
from pathlib import Path

import cv2
import numpy as np

from onelook.data.image_io import encode_image

# OpenCV, which reads scenes in training, reads these formats like `read_image`, so the file is copied as it is.
_COPIED_SUFFIXES = (".jpg", ".jpeg", ".png")
_JPEG_START = b"\xff\xd8"


def copy_suffix(file: str) -> str:
    """Return the suffix of the copy of a file, by its name."""
    suffix = Path(file).suffix.lower()
    return suffix if suffix in _COPIED_SUFFIXES else ".jpg"


def copy_photo(source: Path, image: np.ndarray, target: Path) -> None:
    """Copy a photo, so that training reads the pixels of `read_image`.

    A JPEG or PNG file is copied byte for byte. Another format is encoded as JPEG. A file that has such a name and that
    training would read otherwise is encoded anew: a transparent one, or a HEIC photo that a phone named .jpg.

    Args:
        source: the file.
        image: its pixels by `read_image`, RGB (H, W, 3) uint8.
        target: the copy, with the suffix of `copy_suffix`; its folder exists.
    """
    if source.suffix.lower() in _COPIED_SUFFIXES and not _is_read_otherwise(source, image):
        shutil.copyfile(source, target)
    else:
        target.write_bytes(encode_image(image, target.suffix))


def _is_read_otherwise(path: Path, image: np.ndarray) -> bool:
    """Return whether OpenCV gives other pixels than `image`, or none; JPEG files are read alike but for rounding.

    It drops transparency, which `read_image` lays over white, and knows fewer formats.
    """
    with path.open("rb") as stream:
        if stream.read(2) == _JPEG_START:
            return False
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    return pixels is None or not np.array_equal(pixels, image)
