"""Photos that the page displays: their faces, and the JPEG files that the browser shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from onelook.face_quality import QualityLimits, quality_problem
from onelook.gallery.identification import Identification, IdentifiedFace
from onelook.gallery.pending_face import PendingFace, make_pending_face
from onelook.names import escape_unprintable

_DISPLAY_SIDE = 1600
"""Longer side of a displayed photo in pixels: sharp on a large screen, and small in memory."""
_PREVIEW_SIDE = 400
"""Longer side of a preview in pixels: a tile of 200 CSS pixels on a screen of two pixels each."""
_JPEG_QUALITY = 85
_MAX_NAME_LENGTH = 100
"""Last characters of a file name that are shown."""
_ROW_OVERLAP = 0.6
"""Faces whose centers differ in height by less than this fraction of the face height are in one row of people."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a displayed photo.

    Attributes:
        key: key of the face in its session.
        identified: the identified face; its box is in pixels of the original photo.
        pending: the data that enrolls the face once it is named.
        problem: why the face cannot be enrolled; None: it can.
        is_enrolled: the person was enrolled with this very face.
    """

    key: str
    identified: IdentifiedFace
    pending: PendingFace
    problem: str | None
    is_enrolled: bool = False

    @property
    def size(self) -> float:
        """Return the square root of the box area, in pixels of the photo."""
        x1, y1, x2, y2 = self.identified.box
        return float(max(0.0, x2 - x1) * max(0.0, y2 - y1)) ** 0.5


@dataclass(frozen=True, eq=False)
class DisplayedPhoto:
    """A photo with its identified faces; its pixels are in memory only, scaled down to display size.

    Attributes:
        key: key of the photo in its session.
        name: file name of the photo.
        width: width of the original photo in pixels.
        height: height of the original photo in pixels.
        jpeg: the photo as a JPEG file, scaled down to display size.
        preview: the photo as a JPEG file, scaled down to the size of a tile.
        faces: the faces in reading order: rows of people from top to bottom, each from left to right.
    """

    key: str
    name: str
    width: int
    height: int
    jpeg: bytes
    preview: bytes
    faces: tuple[Face, ...]

    def with_identities(self, identifications: Iterator[Identification]) -> "DisplayedPhoto":
        """Return a copy whose faces have the next identifications."""
        faces = [
            replace(face, identified=replace(face.identified, **vars(next(identifications)))) for face in self.faces
        ]
        return replace(self, faces=tuple(faces))


def shorten_file_name(name: str) -> str:
    """Return the last characters of a file name, printable and in one line."""
    return escape_unprintable(name[-_MAX_NAME_LENGTH:]) or "photo"


def make_displayed_photo(
    key: str, image: np.ndarray, name: str, identified: Sequence[IdentifiedFace], limits: QualityLimits
) -> DisplayedPhoto:
    """Cut the thumbnails of the faces and encode the photo in the sizes that are displayed.

    Args:
        key: key of the photo in its session.
        image: RGB uint8 (H, W, 3).
        name: file name of the photo.
        identified: its faces.
        limits: a face beyond them cannot be enrolled.
    """
    order = reading_order(np.asarray([face.box for face in identified]).reshape(-1, 4))
    faces = []
    for number, face in enumerate(identified[i] for i in order):
        problem = quality_problem(face.quality, limits)
        faces.append(Face(f"{key}-{number}", face, make_pending_face(image, face, name), problem))
    height, width = image.shape[:2]
    return DisplayedPhoto(
        key, name, width, height, _encode(image, _DISPLAY_SIDE), _encode(image, _PREVIEW_SIDE), tuple(faces)
    )


def reading_order(boxes: np.ndarray) -> list[int]:
    """Order faces as one reads: rows of people from top to bottom, each row from left to right.

    Args:
        boxes: (n, 4) x1 y1 x2 y2.
    """
    middles, heights = boxes[:, [1, 3]].mean(1), boxes[:, 3] - boxes[:, 1]
    rows: list[list[int]] = []
    for i in np.argsort(middles, kind="stable").tolist():
        if rows and middles[i] - middles[rows[-1][0]] < _ROW_OVERLAP * min(heights[i], heights[rows[-1][0]]):
            rows[-1].append(i)
        else:
            rows.append([i])
    return [i for row in rows for i in sorted(row, key=lambda i: float(boxes[i, 0]))]


def _encode(image: np.ndarray, side: int) -> bytes:
    """Encode an image (H, W, 3) RGB uint8 as a JPEG whose longer side is at most `side` pixels."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return encoded.tobytes()
