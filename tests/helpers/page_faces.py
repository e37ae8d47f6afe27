"""Faces and photos as the page displays them, without a detector."""

import base64
from typing import Any

import numpy as np

from onelook.face_quality import Quality
from onelook.gallery.identification import IdentifiedFace
from onelook.gallery.pending_face import PendingFace
from onelook.page.photos import DisplayedPhoto, Face


def make_identified(**changes: Any) -> IdentifiedFace:
    """Make an unknown face of 100 pixels, with some attributes changed."""
    attributes = {"name": None, "similarity": None, "nearest": None, "box": np.array([0.0, 0.0, 100.0, 100.0])}
    attributes |= {"embedding": np.zeros(4), "quality": Quality(score=1, size=100, sharpness=1, profile=0)}
    return IdentifiedFace(landmarks=np.zeros((5, 2)), score=0.9, **(attributes | changes))


def make_face(key: str, box: tuple[float, float, float, float] = (0, 0, 100, 100), **changes: Any) -> Face:
    """Make a face; `problem` is that of the face, other changes are those of its identification."""
    problem = changes.pop("problem", None)
    identified = make_identified(box=np.array(box, np.float64), **changes)
    picture = base64.b64encode(key.encode()).decode()
    pending = PendingFace(f"{key}.jpg", identified.embedding, identified.quality, picture)
    return Face(key, identified, pending, problem)


def make_photo(width: int, height: int, *faces: Face) -> DisplayedPhoto:
    """Make a photo without pixels."""
    return DisplayedPhoto("p", "p.jpg", width, height, b"", b"", faces)
