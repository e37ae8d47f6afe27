"""Looking at many photos: read ahead by a thread, looked at in passes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

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
# As many as are looked at together: the next pass is read while this one is looked at.
_AHEAD = PASS

Read = tuple[Source, np.ndarray | PhotoError]


def read_ahead(sources: Iterable[Source]) -> Iterator[Read]:
    """Each photo, RGB uint8 (H, W, 3), or what is wrong with it; a thread reads the next ones meanwhile."""
    rest = iter(sources)
    waiting: deque[tuple[Source, Future[np.ndarray]]] = deque()
    reader = ThreadPoolExecutor(1)
    try:
        for source in rest:
            waiting.append((source, reader.submit(_read, source)))
            if len(waiting) > _AHEAD:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())
    finally:
        reader.shutdown(cancel_futures=True)


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


def photo_lines(
    gallery: Gallery, photos: list[Read], keep: Callable[[np.ndarray], int], pictures: Path | None
) -> list[Line]:
    """What one look at the photos of a pass finds, a line a photo.

    Args:
        gallery: names the faces.
        photos: of the pass.
        keep: takes the embedding (d,) of an unknown face and gives its row number.
        pictures: the folder of the photos with the faces drawn in; None: they are not drawn.
    """
    looks = iter(gallery.identify_all([image for _, image in photos if isinstance(image, np.ndarray)]))
    lines: list[Line] = []
    for number, (source, image) in enumerate(photos, start=1):
        line: Line = {
            "what": "photo",
            "source": str(source.path),
            "bytes": source.bytes,
            "mtime_ns": source.mtime_ns,
            "faces": [],
            "picture": None,
            "error": None,
            "more": number < len(photos),
        }
        lines.append(line)
        if isinstance(image, PhotoError):
            line["error"] = str(image)
            continue
        faces = next(looks)
        if not faces:
            line["error"] = f"{source.path}: no face found"
        qualities = measure_faces(image, faces, gallery.terms.detect.longest_side)
        for face, quality in zip(faces, qualities, strict=True):
            row = keep(face.embedding) if face.name is None else None
            line["faces"].append(face.record() | measured(quality) | {"row": row})
        if pictures is not None:
            path = picture_path(pictures, source, ".jpg")
            # Straight to its name: a picture that a kill cut off is not in the journal, so it is made again.
            path.write_bytes(encode_photo(draw_identified(image, faces), ".jpg"))
            line["picture"] = path.relative_to(pictures.parent).as_posix()
    return lines


def picture_path(pictures: Path, source: Source, suffix: str) -> Path:
    """Where the picture of a photo or video stands: by its folder's name, its own, and a number that tells its path."""
    folder = pictures / (source.path.parent.name or "photos")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{source.path.stem}-{source.key:016x}{suffix}"


def _read(source: Source) -> np.ndarray:
    if source.why is not None:
        raise PhotoError(source.why)
    return read_photo(source.path)


def _outcome(source: Source, future: "Future[np.ndarray]") -> Read:
    try:
        return source, future.result()
    except PhotoError as error:
        return source, error


def _bytes(image: np.ndarray | PhotoError) -> int:
    return image.nbytes if isinstance(image, np.ndarray) else 0
