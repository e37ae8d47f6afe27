"""What the page knows and does, without a page: look at a photo, name a face of it, tell who is enrolled, forget.

A photo that is shown to it stays in memory, shrunk to what is shown; what enters the gallery is a face that is named.
"""

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from onelook.data.image_io import decode_image, encode_image
from onelook.gallery.backend_factory import is_gallery
from onelook.gallery.gallery import Enrollment, Gallery, create_gallery, open_gallery
from onelook.gallery.identification import IdentifiedFace
from onelook.gallery.location import Location
from onelook.gallery.names import one_line
from onelook.gallery.pending_face import PendingFace, make_pending_face

# Of a shown photo, in pixels: sharp on a large screen, and small in memory.
_LONGEST_SIDE = 1600
_LONGEST_NAME = 100


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photo that is shown.

    Attributes:
        answer: who it is; the box in pixels of the photo as it came.
        seen: what naming it takes.
    """

    answer: IdentifiedFace
    seen: PendingFace


@dataclass(frozen=True, eq=False)
class PhotoView:
    """A photo that was looked at.

    Attributes:
        photo: what it is called.
        width, height: of the photo as it came, in pixels.
        picture: the photo as a JPEG, shrunk.
        faces: of it, from left to right.
    """

    photo: str
    width: int
    height: int
    picture: bytes
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class Person:
    """Somebody who is enrolled.

    Attributes:
        name: whose.
        photos: what each photo is called, and its thumbnail (base64 of a JPEG), or None where there is none.
    """

    name: str
    photos: tuple[tuple[str, str | None], ...]


class PageController:
    """A gallery at which several pages and threads may work: they take turns, and see what other processes changed."""

    def __init__(self, folder: Location, *, model: Path | None = None) -> None:
        """Open a gallery, or prepare to begin one with the first face that is named.

        Raises:
            GalleryError: the gallery is damaged or made with another model.
            ModelError: the model is missing or damaged.
        """
        self.folder = folder
        self._turn = threading.Lock()
        self._gallery = open_gallery(folder, model=model) if is_gallery(folder) else create_gallery(folder, model=model)

    @property
    def read_only(self) -> bool:
        """Whether the pipeline rebuilds the gallery, so that nobody can be named or forgotten here."""
        return self._gallery.terms.managed

    def predict(self, data: bytes, name: str) -> PhotoView:
        """Find the faces of a photo, and who they are.

        Args:
            data: the bytes of its file.
            name: what it is called.

        Raises:
            PhotoError: it cannot be read, or is too large.
            GalleryError: the gallery cannot be read any more.
        """
        called = one_line(name[-_LONGEST_NAME:]) or "photo"
        with self._turn:  # decoding too: many large photos at once are more than a machine may hold
            image = decode_image(data, called)
            answers = self._fresh().identify(image)
            side = self._gallery.terms.detect.longest_side
            faces = [Face(answer, make_pending_face(image, answer, side, called)) for answer in answers]
            faces.sort(key=lambda face: float(face.answer.box[0]))
            return PhotoView(called, image.shape[1], image.shape[0], _shrunk(image), tuple(faces))

    def look_again(self, predict: PhotoView) -> PhotoView:
        """The same photo with the names that the gallery gives now; the photo is not looked at anew."""
        with self._turn:
            if not predict.faces:
                return predict
            answers = self._fresh().name(np.stack([face.seen.embedding for face in predict.faces]))
        faces = [
            Face(replace(face.answer, **vars(answer)), face.seen)
            for face, answer in zip(predict.faces, answers, strict=True)
        ]
        return replace(predict, faces=tuple(faces))

    def name(self, face: Face, name: str) -> Enrollment:
        """Enroll a face that was looked at.

        Raises:
            PhotoError: it is too small or blurred.
            GalleryError: the name cannot be used, or the gallery cannot be changed.
        """
        with self._turn:
            return self._fresh().enroll_face(name, face.seen)

    def names(self) -> list[str]:
        """The names of who is enrolled, sorted.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        with self._turn:
            return list(self._fresh().people())

    def people(self) -> list[Person]:
        """Who is enrolled, sorted by name.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        with self._turn:
            rows = self._fresh().rows()
        return [Person(name, tuple((row.photo, row.thumbnail) for row in mine)) for name, mine in rows.items()]

    def forget(self, name: str) -> None:
        """Remove a person from the gallery.

        Raises:
            GalleryError: there is nobody of that name, or the gallery cannot be changed.
        """
        with self._turn:
            self._fresh().forget(name)

    def _fresh(self) -> Gallery:
        self._gallery.refresh()
        return self._gallery


def _shrunk(image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, _LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return encode_image(image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA), ".jpg")
