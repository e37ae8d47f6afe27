"""A face that was seen in a photo, kept for the moment in which it gets a name: the photo itself is not needed then."""

import base64
import hashlib
from dataclasses import dataclass

import numpy as np

from onelook.errors import PhotoError
from onelook.gallery.data import Entry
from onelook.gallery.enrollment import Rows
from onelook.gallery.face_quality import Quality, measure_face, quality_problem
from onelook.gallery.identification import IdentifiedFace
from onelook.gallery.thumbnail import thumbnail


@dataclass(frozen=True, eq=False)
class PendingFace:
    """What enrolling a face takes.

    Attributes:
        photo: what the photo is called.
        embedding: (d,) float32 of length 1.
        quality: of the face in its photo.
        thumbnail: see `thumbnail`.
    """

    photo: str
    embedding: np.ndarray
    quality: Quality
    thumbnail: str

    def row(self, name: str) -> Rows:
        """The face as a row of a person of a checked name.

        It goes by the bytes of its thumbnail, not by those of the photo, which may show others: naming one face twice
        adds it once, and two people of one photo are two rows.

        Raises:
            PhotoError: the face is too small or blurred.
        """
        problem = quality_problem(self.quality)
        if problem is not None:
            raise PhotoError(f"{self.photo}: {problem}")
        digest = hashlib.sha256(base64.b64decode(self.thumbnail)).hexdigest()
        entry = Entry(person=name, photo=self.photo, sha256=digest, quality=self.quality, thumbnail=self.thumbnail)
        return Rows((entry,), self.embedding[None])


def make_pending_face(image: np.ndarray, face: IdentifiedFace, longest_side: int, photo: str) -> PendingFace:
    """Keep a face of a photo (H, W, 3) that the network saw with this longest side, in pixels."""
    quality = measure_face(image, face.box, face.landmarks, face.score, longest_side)
    return PendingFace(photo, face.embedding, quality, thumbnail(image, face.box))
