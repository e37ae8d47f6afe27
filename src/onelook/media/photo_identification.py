"""Reading photos and naming the faces in them, in passes of the network."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from onelook.data.image_io import encode_image, read_image
from onelook.errors import PhotoError
from onelook.gallery import face_quality
from onelook.gallery.drawing import draw_identified
from onelook.gallery.enrollment import PASS
from onelook.gallery.face_quality import Quality
from onelook.gallery.gallery import Gallery
from onelook.gallery.identification import IdentifiedFace
from onelook.media.discovery import Source
from onelook.media.journal import Line


def measure_faces(
    photos: Sequence[np.ndarray], faces: Sequence[Sequence[IdentifiedFace]], longest_side: int
) -> list[list[Quality]]:
    """The quality of each face of photos (H, W, 3) that the network saw with this longest side, in pixels."""
    together = [
        (photo, face.box, face.landmarks, face.score)
        for photo, some in zip(photos, faces, strict=True)
        for face in some
    ]
    qualities = iter(face_quality.measure_faces(together, longest_side))
    return [list(islice(qualities, len(some))) for some in faces]


def measured(quality: Quality) -> dict[str, float]:
    """What is written of it beside the detection score."""
    return {"size": round(quality.size, 3), "sharpness": round(quality.sharpness, 6)}


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
            path.write_bytes(encode_image(draw_identified(image, faces), ".jpg"))
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
        return source, read_image(source.path)
    except PhotoError as error:
        return source, error


def _bytes(image: np.ndarray | PhotoError) -> int:
    return image.nbytes if isinstance(image, np.ndarray) else 0
