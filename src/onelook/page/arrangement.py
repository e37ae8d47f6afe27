"""Arrangement of the faces of a photo: which ones are listed, and where their names fit on the photo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onelook.page.photos import DisplayedPhoto, Face

MAX_ASKED = 6
"""Unrecognized faces that get a row each; of a larger group all of them are collapsed."""
_PROMINENT = 0.5
"""Size of a face relative to the largest one of the photo, from which it is no bystander."""

# The name tags as page.css draws them, in CSS pixels.
_TAG_HEIGHT = 22.0
_LETTER_WIDTH = 7.4
_TAG_PADDING = 14.0
_MAX_TAG_WIDTH = 160.0
WIDE, NARROW = (600.0, 560.0), (340.0, 460.0)
"""Width and height that a photo has at least, if its sides allow it, on a screen and on a phone, in CSS pixels."""


@dataclass(frozen=True)
class Arrangement:
    """The faces of a photo by how the page lists them, each part in reading order.

    Attributes:
        recognized: faces with a name; each has a row.
        asked: unrecognized faces worth a row and a field for the name.
        others: further unrecognized faces, collapsed into one line.
    """

    recognized: tuple[Face, ...]
    asked: tuple[Face, ...]
    others: tuple[Face, ...]

    @property
    def listed(self) -> tuple[Face, ...]:
        """Return the faces that have a row, in the order of their numbers."""
        return self.recognized + self.asked


@dataclass(frozen=True)
class TagPlace:
    """Position of a name tag: above or below the box, and flush with its left or right side."""

    is_below: bool
    is_right: bool


def arrange_faces(faces: Sequence[Face]) -> Arrangement:
    """Divide the faces of a photo into recognized, asked and other ones.

    An unrecognized face is asked about if it is at least half as large as the largest face: smaller ones are
    bystanders. Of more than `MAX_ASKED` such faces, none is.
    """
    recognized = tuple(face for face in faces if face.identified.name is not None)
    largest = max((face.size for face in faces), default=0.0)
    asked = tuple(face for face in faces if face.identified.name is None and face.size >= _PROMINENT * largest)
    if len(asked) > MAX_ASKED:
        asked = ()
    listed = {face.key for face in (*recognized, *asked)}
    return Arrangement(recognized, asked, tuple(face for face in faces if face.key not in listed))


def place_tags(photo: DisplayedPhoto, names: Mapping[str, str], shown: tuple[float, float]) -> dict[str, TagPlace]:
    """Place the tags of named faces so that none covers another tag, a face or the photo's edge.

    Args:
        photo: the photo.
        names: name by key of the face.
        shown: width and height within which the photo is displayed, in CSS pixels.

    Returns:
        The place of each tag; empty where not all of them have one, because the faces are too crowded for names.
    """
    scale = min(shown[0] / photo.width, shown[1] / photo.height)
    boxes = scale * np.asarray([face.identified.box for face in photo.faces], np.float64).reshape(-1, 4)
    places: dict[str, TagPlace] = {}
    taken: list[np.ndarray] = []
    for i, face in enumerate(photo.faces):
        if face.key not in names:
            continue
        width = min(_MAX_TAG_WIDTH, _TAG_PADDING + _LETTER_WIDTH * len(names[face.key]))
        others = [*np.delete(boxes, i, 0), *taken]
        for place in (TagPlace(below, right) for below in (False, True) for right in (False, True)):
            tag = _tag_box(boxes[i], width, place)
            fits = (tag[:2] >= 0).all() and (tag[2:] <= scale * np.array([photo.width, photo.height])).all()
            if fits and not any(_overlap(tag, other) for other in others):
                places[face.key] = place
                taken.append(tag)
                break
        else:
            return {}
    return places


def box_style(box: np.ndarray, width: int, height: int) -> tuple[float, float, float, float]:
    """Convert a box to CSS left, top, width and height, clipped to the photo.

    Args:
        box: (4,) x1 y1 x2 y2 in pixels of the photo.
        width: width of the photo in pixels.
        height: height of the photo in pixels.

    Returns:
        Left, top, width and height in percent of the photo's sides.
    """
    x1, y1, x2, y2 = (float(c) for c in np.clip(box, 0, [width, height, width, height]))
    return 100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height


def shown_side(box: np.ndarray, photo: DisplayedPhoto, shown: tuple[float, float]) -> float:
    """Return the shorter side of a box in CSS pixels.

    Args:
        box: (4,) x1 y1 x2 y2 in pixels of the photo.
        photo: the photo.
        shown: width and height within which the photo is displayed, in CSS pixels.
    """
    scale = min(shown[0] / photo.width, shown[1] / photo.height)
    return float(scale * min(box[2] - box[0], box[3] - box[1]))


def _tag_box(box: np.ndarray, width: float, place: TagPlace) -> np.ndarray:
    x1, y1, x2, y2 = box
    left = x2 - width if place.is_right else x1
    top = y2 if place.is_below else y1 - _TAG_HEIGHT
    return np.array([left, top, left + width, top + _TAG_HEIGHT])


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())
