"""Thumbnails of enrolled faces, stored in the gallery records."""

import base64
import hashlib

import cv2
import numpy as np

THUMBNAIL_SIZE = 96
"""Side of a thumbnail in pixels."""
# Added on each side of the box, relative to its longer side, so that hair and chin are in the picture.
_MARGIN = 0.25
_JPEG_QUALITY = 80


def make_thumbnail(image: np.ndarray, box: np.ndarray) -> str:
    """Crop a face to a square JPEG of THUMBNAIL_SIZE pixels, in base64.

    The same image and box give the same text. A thumbnail is part of the face's record rather than a file, so it is
    renamed, merged, backed up and removed with the record. It takes some 3 kB; with ten thousand faces a change of the
    gallery takes a third of a second more (`benchmarks/thumbnails.py`).

    Args:
        image: RGB uint8 (H, W, 3).
        box: (4,) x1 y1 x2 y2 in pixels of the image; the area outside is filled with the border pixels.
    """
    x1, y1, x2, y2 = box.astype(float)
    half = (0.5 + _MARGIN) * max(x2 - x1, y2 - y1, 1.0)
    left, top = (x1 + x2) / 2 - half, (y1 + y2) / 2 - half
    columns = _clamped_range(left, half, image.shape[1])
    rows = _clamped_range(top, half, image.shape[0])
    square = image[rows[:, None], columns]
    interpolation = cv2.INTER_AREA if len(rows) > THUMBNAIL_SIZE else cv2.INTER_CUBIC
    small = cv2.resize(square, (THUMBNAIL_SIZE, THUMBNAIL_SIZE), interpolation=interpolation)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)
    return base64.b64encode(encoded.tobytes()).decode()


def thumbnail_digest(thumbnail: str) -> str:
    """Compute the hex SHA-256 of a thumbnail in base64: the digest of one face of a photo that shows several.

    With it, naming a face twice enrolls it once, and two people of one photo are two enrolled faces.
    """
    return hashlib.sha256(base64.b64decode(thumbnail)).hexdigest()


def _clamped_range(start: float, half: float, length: int) -> np.ndarray:
    """Return the pixel indices from `start` over 2 x `half` pixels, clamped to 0..length-1."""
    return (round(start) + np.arange(max(1, round(2 * half)))).clip(0, length - 1)
