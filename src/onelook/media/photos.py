"""Reading photos and naming the faces in them, in passes of the network."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from onelook.data.photo import encode_photo, read_photo
from onelook.errors import PhotoError
from onelook.gallery.enrolment import PASS
from onelook.gallery.gallery import Gallery
from onelook.gallery.picture import draw_identified
from onelook.media.journal import Line
from onelook.media.quality import measure_faces, measured
from onelook.media.sources import Source

# Bytes of pixels after which a pass is full: eight photos of 12 megapixels would take three times as much.
MOST_BYTES = 96 * 2**20

Read = tuple[Source, np.ndarray | PhotoError]


class Identified(NamedTuple):
    """A photo, its line, and the embedding (d,) of each face in it that got no name, None for the others.

    The line lacks the faces' rows; whoever keeps the embeddings knows them.
    """

    source: Source
    line: Line
    unknown: list[np.ndarray | None]


def passes(photos: Iterable[Read]) -> Iterator[list[Read]]:
    """The photos in passes: so many, or so many bytes, as are looked at together; from any pass on the same ones."""
    some: list[Read] = []
    for each in photos:
        some.append(each)
        if len(some) == PASS or sum(_bytes(image) for _, image in some) >= MOST_BYTES:
            yield some
            some = []
    if some:
        yield some


def identify_photos(gallery: Gallery, pictures: Path | None, sources: Sequence[Source]) -> list[Identified]:
    """Read photos and name the faces in them, a pass at a time.

    Args:
        gallery: names the faces.
        pictures: the folder of the photos with the faces drawn in; None: they are not drawn.
        sources: the photos.
    """
    found = [each for photos in passes(map(_read, sources)) for each in _identify_pass(gallery, pictures, photos)]
    for each in found[:-1]:
        each.line["more"] = True
    return found


def _identify_pass(gallery: Gallery, pictures: Path | None, photos: Sequence[Read]) -> Iterator[Identified]:
    images = [image for _, image in photos if isinstance(image, np.ndarray)]
    named = gallery.identify_all(images)
    looks = zip(named, measure_faces(images, named, gallery.terms.detect.longest_side), strict=True)
    for source, image in photos:
        line: Line = {
            "what": "photo",
            "source": str(source.path),
            "bytes": source.bytes,
            "mtime_ns": source.mtime_ns,
            "faces": [],
            "picture": None,
            "error": None,
            "more": False,
        }
        if isinstance(image, PhotoError):
            line["error"] = str(image)
            yield Identified(source, line, [])
            continue
        faces, qualities = next(looks)
        if not faces:
            line["error"] = f"{source.path}: no face found"
        line["faces"] = [face.record() | measured(quality) for face, quality in zip(faces, qualities, strict=True)]
        if pictures is not None:
            path = picture_path(pictures, source, ".jpg")
            # Straight to its name: a picture that a kill cut off is not in the journal, so it is made again.
            path.write_bytes(encode_photo(draw_identified(image, faces), ".jpg"))
            line["picture"] = path.relative_to(pictures.parent).as_posix()
        yield Identified(source, line, [face.embedding if face.name is None else None for face in faces])


def picture_path(pictures: Path, source: Source, suffix: str) -> Path:
    """Where the picture of a photo or video stands: by its folder's name, its own, and a number that tells its path."""
    folder = pictures / (source.path.parent.name or "photos")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{source.path.stem}-{source.key:016x}{suffix}"


def _read(source: Source) -> Read:
    try:
        if source.why is not None:
            raise PhotoError(source.why)
        return source, read_photo(source.path)
    except PhotoError as error:
        return source, error


def _bytes(image: np.ndarray | PhotoError) -> int:
    return image.nbytes if isinstance(image, np.ndarray) else 0
