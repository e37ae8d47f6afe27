"""Photos that the page displays: their faces, and the JPEG files that the browser shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from onelook.data.image_io import encode_image
from onelook.gallery.identification import IdentifiedFace
from onelook.gallery.names import escape_unprintable
from onelook.gallery.pending_face import PendingFace, make_pending_face

_MAX_DISPLAY_SIDE = 1600
"""Longer side of a displayed photo in pixels: sharp on a large screen, and small in memory."""
_MAX_NAME_LENGTH = 100
"""Last characters of a file name that are shown."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a displayed photo.

    Attributes:
        identified: the identified face; its box is in pixels of the original photo.
        pending: the data that enrolls the face once it is named.
    """

    identified: IdentifiedFace
    pending: PendingFace


@dataclass(frozen=True, eq=False)
class DisplayedPhoto:
    """A photo with its identified faces; its pixels are in memory only, scaled down to display size.

    Attributes:
        name: file name of the photo.
        width: width of the original photo in pixels.
        height: height of the original photo in pixels.
        jpeg: the photo as a JPEG file, scaled down to display size.
        faces: the faces from left to right.
    """

    name: str
    width: int
    height: int
    jpeg: bytes
    faces: tuple[Face, ...]


def shorten_file_name(name: str) -> str:
    """Return the last characters of a file name, printable and in one line."""
    return escape_unprintable(name[-_MAX_NAME_LENGTH:]) or "photo"


def make_displayed_photo(image: np.ndarray, name: str, identified: Sequence[IdentifiedFace]) -> DisplayedPhoto:
    """Cut the thumbnails of the faces and encode the photo in display size.

    Args:
        image: RGB uint8 (H, W, 3).
        name: file name of the photo.
        identified: its faces.
    """
    faces = [Face(face, make_pending_face(image, face, name)) for face in identified]
    faces.sort(key=lambda face: float(face.identified.box[0]))
    return DisplayedPhoto(name, image.shape[1], image.shape[0], _encode_display(image), tuple(faces))


def _encode_display(image: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) RGB uint8 as a JPEG of display size."""
    height, width = image.shape[:2]
    scale = min(1.0, _MAX_DISPLAY_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return encode_image(image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA), ".jpg")
