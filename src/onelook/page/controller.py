"""Controller of the page: identify photos, and list and change the people of the gallery."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onelook.data.image_io import decode_image
from onelook.erasure.remainders import find_remainders
from onelook.gallery.gallery import Gallery
from onelook.gallery.location import Location
from onelook.page.people import Person, list_people
from onelook.page.photos import DisplayedPhoto, Face, make_displayed_photo, shorten_file_name
from onelook.page.unknown_groups import UnknownFaces, group_unknown_faces
from onelook.page.wording import describe_enrollment, describe_forgetting, pluralize
from onelook.service.shared_gallery import SharedGallery


@dataclass(frozen=True)
class Change:
    """A change of the gallery that was made.

    Attributes:
        message: what was changed, for the user.
        undo: undoes the change, unless another one followed; None: this gallery cannot undo. Raises a GalleryError.
    """

    message: str
    undo: Callable[[], "Change"] | None


class PageController:
    """The page's operations on a gallery that all browsers share.

    Each call holds a lock and first loads the changes of other processes. It raises a GalleryError if the gallery
    cannot be read any more, and a change also if the gallery cannot be changed.

    Attributes:
        shared: the gallery.
    """

    def __init__(self, shared: SharedGallery) -> None:
        """Take the gallery; a new one is written with the first face that is named."""
        self.shared = shared
        self._thumbnails: dict[str, str] = {}

    @property
    def location(self) -> Location:
        """Return the folder or the Milvus address of the gallery."""
        return self.shared.gallery.location

    @property
    def read_only(self) -> bool:
        """Return whether the pipeline manages the gallery, which then cannot be changed here."""
        return self.shared.gallery.metadata.managed

    @property
    def can_undo(self) -> bool:
        """Return whether changes can be undone, and rejections kept: both in a folder, neither in Milvus."""
        return self.shared.gallery.can_revert

    def identify(self, data: bytes, name: str, key: str) -> DisplayedPhoto:
        """Detect and identify the faces of a photo.

        Args:
            data: bytes of the photo's file.
            name: file name of the photo.
            key: key of the photo in its session.

        Raises:
            PhotoError: the photo cannot be read, or is too large.
        """
        name = shorten_file_name(name)
        # The lock includes decoding: several large photos at once could exhaust the memory.
        with self.shared.use() as gallery:
            image = decode_image(data, name)
            identified = gallery.identify(image)
            photo = make_displayed_photo(key, image, name, identified, gallery.metadata.unusable)
            return self._mark_enrolled([photo])[0]

    def reidentify(self, photos: Sequence[DisplayedPhoto]) -> list[DisplayedPhoto]:
        """Identify the faces of photos again, from their stored embeddings, in one search.

        The detector does not run again, so boxes and landmarks stay as they are.
        """
        faces = [face for photo in photos for face in photo.faces]
        if not faces:
            return list(photos)
        embeddings = np.stack([face.pending.embedding for face in faces])
        qualities = [face.pending.quality for face in faces]
        with self.shared.use() as gallery:
            identifications = iter(gallery.identify_embeddings(embeddings, qualities))
            return self._mark_enrolled([photo.with_identities(identifications) for photo in photos])

    def version(self) -> object:
        """Return a value that equals an earlier one only if the gallery has not changed since."""
        with self.shared.use() as gallery:
            return gallery.revision() if gallery.can_revert else object()

    def group_unknown(self, photos: Sequence[DisplayedPhoto]) -> UnknownFaces:
        """Group the unrecognized faces of photos."""
        return group_unknown_faces([face for photo in photos for face in photo.faces], self.shared.gallery.metadata)

    def names(self) -> list[str]:
        """Return the names of the enrolled people, sorted."""
        with self.shared.use() as gallery:
            return list(gallery.people())

    def describe_search(self) -> str:
        """Describe how people are searched, in a few words."""
        with self.shared.use() as gallery:
            return gallery.describe_search()

    def people(self) -> list[Person]:
        """Return the enrolled people with their pictures, sorted by name."""
        with self.shared.use() as gallery:
            faces_by_person = gallery.faces_by_person()
            self._thumbnails = {
                face.sha256: face.thumbnail for faces in faces_by_person.values() for face in faces if face.thumbnail
            }
        return list_people(faces_by_person)

    def picture(self, sha256: str) -> bytes | None:
        """Return the JPEG of an enrolled face as `people` last listed it; None: it has none, or was removed."""
        thumbnail = self._thumbnails.get(sha256)
        return None if thumbnail is None else base64.b64decode(thumbnail)

    def name(self, faces: Sequence[Face], name: str) -> Change:
        """Enroll faces of displayed photos, at least one, as one person.

        A name that an enrolled person has in other upper and lower case is that person's.

        Raises:
            PhotoError: a face is too small, blurred or in profile.
            GalleryError: the name cannot be used.
        """

        def enroll(gallery: Gallery) -> str:
            spellings = {enrolled.casefold(): enrolled for enrolled in gallery.people()}
            spelling = name if name in spellings.values() else spellings.get(name.strip().casefold(), name)
            return describe_enrollment(gallery.enroll_faces(spelling, [face.pending for face in faces]))

        return self._change(enroll)

    def reject(self, face: Face) -> Change:
        """Record that a recognized face is not the person, and remove it from the pictures of the person.

        Raises:
            GalleryError: the person is not enrolled any more.
        """
        name = face.identified.name
        assert name is not None

        def reject(gallery: Gallery) -> str:
            if gallery.find_enrolled([face.pending.digest]).get(face.pending.digest) == name:
                if gallery.people()[name] == 1:
                    gallery.forget(name)
                    return f"{name} had only this picture and is forgotten"
                gallery.remove_photos(name, [face.pending.digest])
            gallery.reject(name, face.pending.embedding)
            return f"This is not {name}; faces like this one no longer get the name"

        return self._change(reject)

    def rename(self, name: str, new: str) -> Change:
        """Rename a person.

        Raises:
            GalleryError: nobody of that name is enrolled, or the new name is taken or cannot be used.
        """

        def rename(gallery: Gallery) -> str:
            gallery.rename(name, new)
            return f"{name} is now {new.strip()}"

        return self._change(rename)

    def merge(self, name: str, into: str) -> Change:
        """Move the pictures of one person to another.

        Raises:
            GalleryError: nobody of one of the names is enrolled.
        """

        def merge(gallery: Gallery) -> str:
            gallery.merge(name, into)
            return f"{name} is now {into.strip()}"

        return self._change(merge)

    def remove_picture(self, name: str, sha256: str) -> Change:
        """Remove one picture of a person who has others.

        Raises:
            GalleryError: the person does not have the picture, or no other one.
        """

        def remove(gallery: Gallery) -> str:
            gallery.remove_photos(name, [sha256])
            return f"{name} has {pluralize(gallery.people()[name], 'picture')} now"

        return self._change(remove)

    def forget(self, name: str) -> Change:
        """Remove a person from the gallery; the message names the known copies that still hold the person.

        Raises:
            GalleryError: no person has that name.
        """

        def forget(gallery: Gallery) -> str:
            gallery.forget(name)
            return f"{name} is forgotten"

        change = self._change(forget)
        remainders = list(find_remainders(self.shared.gallery.location, name))  # reads backups, so without the lock
        return replace(change, message=describe_forgetting(name, remainders)) if remainders else change

    def _change(self, operation: Callable[[Gallery], str]) -> Change:
        """Carry out a change, which returns its message, and offer to undo it."""
        with self.shared.use() as gallery, gallery.record_changes() as changes:
            message = operation(gallery)
        if not changes:
            return Change(message, None)

        def undo() -> Change:
            with self.shared.use() as gallery:
                gallery.revert(changes)
            return Change("Undone", None)

        return Change(message, undo)

    def _mark_enrolled(self, photos: Sequence[DisplayedPhoto]) -> list[DisplayedPhoto]:
        """Mark the faces that people were enrolled with; the caller holds the lock."""
        named = [face for photo in photos for face in photo.faces if face.identified.name is not None]
        enrolled = self.shared.gallery.find_enrolled([face.pending.digest for face in named])
        names = {face.key: enrolled.get(face.pending.digest) for face in named}
        return [
            replace(
                photo,
                faces=tuple(
                    replace(face, is_enrolled=face.key in names and names[face.key] == face.identified.name)
                    for face in photo.faces
                ),
            )
            for photo in photos
        ]
