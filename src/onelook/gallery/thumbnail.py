"""A small picture of an enrolled face, to tell by eye whom a gallery holds."""

import base64

import cv2
import numpy as np

SIDE = 96
# Of the box's longer side, on each side of it: hair and chin, and little of a neighbor.
_MARGIN = 0.25
_QUALITY = 80


def thumbnail(photo: np.ndarray, box: np.ndarray) -> str:
    """Cut a face out of a photo: a JPEG of SIDE x SIDE pixels, in base64; same photo and box, same text.

    It is kept in the face's own row: so whatever becomes of the row, forgotten, renamed, merged, backed up, killed
    half-way, becomes of the picture too, and no file has to be kept in step with another. That costs some
    3 kB a row, and with ten thousand rows a third of a second more in a change (`benchmarks/thumbnails.py`).

    Args:
        photo: RGB uint8 (H, W, 3).
        box: (4,) x1 y1 x2 y2 in pixels of the photo; what reaches outside is filled with the photo's edge.
    """
    x1, y1, x2, y2 = box.astype(float)
    half = (0.5 + _MARGIN) * max(x2 - x1, y2 - y1, 1.0)
    left, top = (x1 + x2) / 2 - half, (y1 + y2) / 2 - half
    columns = _inside(left, half, photo.shape[1])
    rows = _inside(top, half, photo.shape[0])
    square = photo[rows[:, None], columns]
    shrinks = len(rows) > SIDE
    small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(encoded.tobytes()).decode()


def _inside(start: float, half: float, length: int) -> np.ndarray:
    """The pixels from `start` on, over twice `half`; those outside are the photo's edge."""
    return (round(start) + np.arange(max(1, round(2 * half)))).clip(0, length - 1)
