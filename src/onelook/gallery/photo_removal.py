"""Remove one photo of a person from a gallery."""

from collections.abc import Sequence
from pathlib import Path

from onelook.errors import GalleryError
from onelook.files import sha256
from onelook.gallery.backend import GalleryBackend
from onelook.gallery.data import EnrolledFace
from onelook.names import escape_path

_MAX_LISTED = 6  # photos that an error message lists


def remove_photo(backend: GalleryBackend, name: str, photo: Path) -> int:
    """Remove one photo of a person who has others; return the number of faces removed.

    Args:
        backend: the gallery.
        name: normalized name of the person.
        photo: see `match_photo`.

    Raises:
        GalleryError: nobody of that name is enrolled, the photo does not match one photo, or is the only one, or the
            gallery cannot be changed.
    """
    faces = match_photo(name, backend.faces_of(name), photo)
    backend.remove_photos(name, {face.sha256 for face in faces})
    return len(faces)


def match_photo(name: str, faces: Sequence[EnrolledFace], photo: Path) -> list[EnrolledFace]:
    """Find the faces of a person that were enrolled with a photo.

    The first of these that holds for a face decides: the path is the one given at the enrollment, the file has the
    content of the enrolled photo, or the file name is the same and unambiguous.

    Args:
        name: the person.
        faces: all enrolled faces of the person.
        photo: path or file name of the photo.

    Returns:
        One face, or several of one path: a photo may show a person twice.

    Raises:
        GalleryError: no photo of the person matches, several do, or the person has no other photo.
    """
    path = escape_path(photo)
    digest = sha256(photo) if photo.is_file() else None
    matched = [face for face in faces if face.photo == path] or [face for face in faces if face.sha256 == digest]
    if not matched:
        matched = [face for face in faces if Path(face.photo).name == photo.name]
        paths = sorted({face.photo for face in matched})
        if len(paths) > 1:
            raise GalleryError(f"{photo}: {name} has {_join(paths)}; name the path of one")
    if not matched:
        enrolled = _join(sorted({face.photo for face in faces}))
        raise GalleryError(f"{photo}: not enrolled as {name}, who has {enrolled}; name one of these")
    if len(matched) == len(faces):
        raise GalleryError(f"{photo}: {name} has no other photo; `onelook forget` removes the person")
    return matched


def _join(photos: Sequence[str]) -> str:
    more = f" and {len(photos) - _MAX_LISTED} more" if len(photos) > _MAX_LISTED else ""
    return ", ".join(photos[:_MAX_LISTED]) + more
