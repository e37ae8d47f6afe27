"""JPEG files whose last marker is missing, as webcams and network cameras write them."""

from io import BytesIO

import numpy as np
from PIL import Image

_END_OF_IMAGE = b"\xff\xd9"
# Would change the pixels, were it read as a part of the picture; no byte of it is a marker.
_FILLER = bytes(range(1, 255)) * 4


def complete_jpeg(data: bytes) -> Image.Image | None:
    """Decode a JPEG file that lacks only its last marker.

    All pixels are there if they do not depend on what follows in the file: it is decoded twice, with different ends.

    Args:
        data: content of the file, which cannot be decoded as it is.

    Returns:
        The decoded image; None if a part of the picture is missing.
    """
    images = []
    try:
        for end in (_END_OF_IMAGE, _FILLER + _END_OF_IMAGE):
            image = Image.open(BytesIO(data + end), formats=["JPEG"])
            image.load()
            images.append(image)
    except (OSError, SyntaxError, ValueError):
        return None
    return images[0] if np.array_equal(np.asarray(images[0]), np.asarray(images[1])) else None
