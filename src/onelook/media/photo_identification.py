"""Identification of the faces in photos, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from onelook.data.image_io import encode_image, read_image
from onelook.errors import PhotoError
from onelook.files import create_private_file, make_private_folder, shorten_stem
from onelook.gallery.drawing import draw_faces
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import MediaFile
from onelook.media.journal import Record

MAX_BATCH_BYTES = 96 * 2**20
"""Pixel bytes at which a batch is full, to bound the memory. Eight photos of 12 megapixels have three times as many."""

LoadedPhoto = tuple[MediaFile, np.ndarray | PhotoError]


class IdentifiedPhoto(NamedTuple):
    """A photo with its journal record and the embeddings of its faces without a name.

    Attributes:
        file: the photo.
        record: record of the photo; its faces have no `row` yet.
        embeddings: (d,) float32 of each face without a name; None for a face with a name.
    """

    file: MediaFile
    record: Record
    embeddings: list[np.ndarray | None]


def identify_photos(gallery: Gallery, picture_folder: Path | None, files: Sequence[MediaFile]) -> list[IdentifiedPhoto]:
    """Read photos and identify their faces.

    A photo that cannot be read gets a record with an error. The records form one journal transaction.

    Args:
        gallery: gallery to search.
        picture_folder: folder for copies of the photos with the faces drawn in; None to draw none.
        files: the photos.
    """
    batches = batch_photos(map(load_photo, files), gallery.batch_size)
    photos = [photo for batch in batches for photo in _identify_batch(gallery, picture_folder, batch)]
    for photo in photos[:-1]:
        photo.record["more"] = True
    return photos


def batch_photos(photos: Iterable[LoadedPhoto], size: int) -> Iterator[list[LoadedPhoto]]:
    """Group photos into batches of at most `size`, fewer at `MAX_BATCH_BYTES`."""
    batch: list[LoadedPhoto] = []
    for photo in photos:
        batch.append(photo)
        if len(batch) == size or sum(_pixel_bytes(image) for _, image in batch) >= MAX_BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def picture_path(picture_folder: Path, file: MediaFile, suffix: str) -> Path:
    """Return the path of a file's drawn copy, and create its folder.

    The path is made of the names of the file and its folder and of the path hash, so that copies of files with one name
    do not collide.
    """
    folder = picture_folder / (file.path.parent.name or "photos")
    make_private_folder(picture_folder)
    make_private_folder(folder)
    return folder / f"{shorten_stem(file.path.stem)}-{file.path_hash:016x}{suffix}"


def _identify_batch(
    gallery: Gallery, picture_folder: Path | None, photos: Sequence[LoadedPhoto]
) -> Iterator[IdentifiedPhoto]:
    images = [image for _, image in photos if isinstance(image, np.ndarray)]
    results = iter(gallery.identify_all(images))
    for file, image in photos:
        record: Record = {
            "what": "photo",
            "source": str(file.path),
            "bytes": file.size_bytes,
            "mtime_ns": file.mtime_ns,
            "faces": [],
            "picture": None,
            "error": None,
            "more": False,
        }
        if isinstance(image, PhotoError):
            record["error"] = str(image)
            yield IdentifiedPhoto(file, record, [])
            continue
        faces = next(results)
        if not faces:
            record["error"] = f"{file.path}: no face found"
        record["faces"] = [face.to_dict() | face.quality.to_dict() for face in faces]
        if picture_folder is not None:
            path = picture_path(picture_folder, file, ".jpg")
            # No temporary file: a picture that a kill cut off is not in the journal, and is drawn again.
            create_private_file(path)
            path.write_bytes(encode_image(draw_faces(image, faces), ".jpg"))
            record["picture"] = path.relative_to(picture_folder.parent).as_posix()
        yield IdentifiedPhoto(file, record, [face.embedding if face.name is None else None for face in faces])


def load_photo(file: MediaFile) -> LoadedPhoto:
    """Read a photo, or return the error that rules it out."""
    try:
        if file.error is not None:
            raise PhotoError(file.error)
        return file, read_image(file.path)
    except PhotoError as error:
        return file, error


def _pixel_bytes(image: np.ndarray | PhotoError) -> int:
    return image.nbytes if isinstance(image, np.ndarray) else 0
