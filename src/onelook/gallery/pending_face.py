"""A detected face that is waiting for a name: all that enrolling it later needs, without the photo."""

from dataclasses import dataclass

import numpy as np

from onelook.errors import PhotoError
from onelook.face_quality import Quality, QualityLimits, quality_problem
from onelook.faces import Face
from onelook.gallery.data import EnrolledFace
from onelook.gallery.enrollment import EnrollmentBatch
from onelook.gallery.thumbnail import make_thumbnail, thumbnail_digest


@dataclass(frozen=True, eq=False)
class PendingFace:
    """The data that enrolls a face.

    Attributes:
        photo: name of the photo.
        embedding: (d,) float32, L2-normalized.
        quality: quality of the face in its photo.
        thumbnail: JPEG in base64, see `make_thumbnail`.
    """

    photo: str
    embedding: np.ndarray
    quality: Quality
    thumbnail: str

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the thumbnail, by which the face is enrolled once.

        It is not that of the photo, which may show several people. So naming a face twice enrolls it once, and two
        people of one photo are two enrolled faces.
        """
        return thumbnail_digest(self.thumbnail)

    def to_batch(self, name: str, limits: QualityLimits) -> EnrollmentBatch:
        """Make an enrollment batch of this face for a person of a normalized name.

        Args:
            name: normalized name.
            limits: a face beyond them is refused.

        Raises:
            PhotoError: the face is too small, blurred or in profile.
        """
        problem = quality_problem(self.quality, limits)
        if problem is not None:
            raise PhotoError(f"{self.photo}: {problem}")
        face = EnrolledFace(
            person=name, photo=self.photo, sha256=self.digest, quality=self.quality, thumbnail=self.thumbnail
        )
        return EnrollmentBatch((face,), self.embedding[None])


def make_pending_face(image: np.ndarray, face: Face, photo: str) -> PendingFace:
    """Cut the thumbnail of a face.

    Args:
        image: RGB uint8 (H, W, 3).
        face: a face of the image.
        photo: name of the photo.
    """
    return PendingFace(photo, face.embedding, face.quality, make_thumbnail(image, face.box))
