"""Controller of the page: identify photos, name faces, list and forget people."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onelook.data.image_io import decode_image
from onelook.gallery.backend_factory import is_gallery
from onelook.gallery.gallery import Enrollment, Gallery, create_gallery, open_gallery
from onelook.gallery.location import Location
from onelook.page.photos import DisplayedPhoto, Face, make_displayed_photo, shorten_file_name


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
    """A thread-safe gallery that all browsers share.

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
        name = shorten_file_name(name)
        with self._lock:  # includes decoding: several large photos at once could exhaust the memory
            image = decode_image(data, name)
            return make_displayed_photo(image, name, self._refreshed().identify(image))

    def reidentify(self, photos: Sequence[DisplayedPhoto]) -> list[DisplayedPhoto]:
        """Identify the faces of photos again, from their stored embeddings, in one search.

        The detector does not run again, so boxes and landmarks stay as they are.

        Raises:
            GalleryError: the gallery cannot be read any more.
        """
        faces = [face for photo in photos for face in photo.faces]
        if not faces:
            return list(photos)
        with self._lock:
            identifications = iter(
                self._refreshed().identify_embeddings(
                    np.stack([face.pending.embedding for face in faces]), [face.pending.quality for face in faces]
                )
            )
        return [
            replace(
                photo,
                faces=tuple(
                    replace(face, identified=replace(face.identified, **vars(next(identifications))))
                    for face in photo.faces
                ),
            )
            for photo in photos
        ]

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
