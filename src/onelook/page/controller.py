"""Controller of the page: identify a photo, name a face, list and forget people.

A photo stays in memory, scaled down to display size. Only a face that is named enters the gallery.
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
    """A photo with its identified faces.

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


@dataclass(frozen=True)
class Person:
    """An enrolled person.

    Attributes:
        name: name of the person.
        photos: name and thumbnail (JPEG in base64, or None) of each enrolled photo.
    """

    name: str
    photos: tuple[tuple[str, str | None], ...]


class PageController:
    """A thread-safe gallery that several browser tabs share.

    Each call holds a lock and first loads the changes of other processes.

    Attributes:
        location: folder or Milvus address of the gallery.
    """

    def __init__(self, location: Location, *, model: Path | None = None, device: str = "auto") -> None:
        """Open a gallery, or prepare one that is written with the first face that is named.

        Args:
            location: folder or Milvus address of the gallery.
            model: model folder or exported file; None: the gallery's model.
            device: of the model, see `open_gallery`.

        Raises:
            GalleryError: the gallery is damaged or was made with another model.
            ModelError: the model is missing or damaged.
        """
        self.location = location
        self._lock = threading.Lock()
        open_or_create = open_gallery if is_gallery(location) else create_gallery
        self._gallery = open_or_create(location, model=model, device=device)

    @property
    def read_only(self) -> bool:
        """Return whether the pipeline manages the gallery, which then cannot be changed here."""
        return self._gallery.metadata.managed

    def identify(self, data: bytes, name: str) -> DisplayedPhoto:
        """Detect and identify the faces of a photo.

        Args:
            data: bytes of the photo's file.
            name: file name of the photo.

        Raises:
            PhotoError: the photo cannot be read, or is too large.
            GalleryError: the gallery cannot be read any more.
        """
        name = escape_unprintable(name[-_MAX_NAME_LENGTH:]) or "photo"
        with self._lock:  # includes decoding: several large photos at once could exhaust the memory
            image = decode_image(data, name)
            identified = self._refreshed().identify(image)
            faces = [Face(face, make_pending_face(image, face, name)) for face in identified]
            faces.sort(key=lambda face: float(face.identified.box[0]))
            return DisplayedPhoto(name, image.shape[1], image.shape[0], _encode_display(image), tuple(faces))

    def reidentify(self, photo: DisplayedPhoto) -> DisplayedPhoto:
        """Identify the faces of a photo again, from their stored embeddings.

        The detector does not run again, so boxes and landmarks stay as they are.
        """
        with self._lock:
            if not photo.faces:
                return photo
            embeddings = np.stack([face.pending.embedding for face in photo.faces])
            qualities = [face.pending.quality for face in photo.faces]
            identifications = self._refreshed().identify_embeddings(embeddings, qualities)
        faces = [
            Face(replace(face.identified, **vars(identification)), face.pending)
            for face, identification in zip(photo.faces, identifications, strict=True)
        ]
        return replace(photo, faces=tuple(faces))

    def name(self, face: Face, name: str) -> Enrollment:
        """Enroll a face of a displayed photo under a name.

        Raises:
            PhotoError: the face is too small, blurred or in profile.
            GalleryError: the name cannot be used, or the gallery cannot be changed.
        """
        with self._lock:
            return self._refreshed().enroll_face(name, face.pending)

    def names(self) -> list[str]:
        """Return the names of the enrolled people, sorted.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        with self._lock:
            return list(self._refreshed().people())

    def people(self) -> list[Person]:
        """Return the enrolled people with their photos, sorted by name.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        with self._lock:
            faces_by_person = self._refreshed().faces_by_person()
        return [
            Person(name, tuple((face.photo, face.thumbnail) for face in faces))
            for name, faces in faces_by_person.items()
        ]

    def forget(self, name: str) -> None:
        """Remove a person from the gallery.

        Raises:
            GalleryError: no person has that name, or the gallery cannot be changed.
        """
        with self._lock:
            self._refreshed().forget(name)

    def _refreshed(self) -> Gallery:
        self._gallery.refresh()
        return self._gallery


def _encode_display(image: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) RGB uint8 as a JPEG of display size."""
    height, width = image.shape[:2]
    scale = min(1.0, _MAX_DISPLAY_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return encode_image(image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA), ".jpg")
