"""Looking at many photos: read ahead by threads, looked at in passes."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
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

Read = tuple[Source, np.ndarray | PhotoError]


class ReadAhead:
    """Photos in order, RGB uint8 (H, W, 3), or what is wrong with each; threads read as many as a pass takes.

    They read when photos are asked for that are not read yet, and from `begin` on; not at any other time: the network's
    threads wait for each other, and so for every core that somebody else is using.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._rest = iter(sources)
        self._waiting: deque[tuple[Source, Future[np.ndarray]]] = deque()
        self._readers = ThreadPoolExecutor(min(PASS, os.cpu_count() or 1))

    def __iter__(self) -> Iterator[Read]:
        try:
            while True:
                if not self._waiting:
                    self.begin()
                if not self._waiting:
                    return
                yield _outcome(*self._waiting.popleft())
        finally:
            self._readers.shutdown(cancel_futures=True)

    def begin(self) -> None:
        """Begin to read the next photos."""
        for source in islice(self._rest, PASS - len(self._waiting)):
            self._waiting.append((source, self._readers.submit(_read, source)))


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
    gallery: Gallery,
    photos: list[Read],
    keep: Callable[[np.ndarray], int],
    pictures: Path | None,
    looked: Callable[[], None],
) -> list[Line]:
    """What one look at the photos of a pass finds, a line a photo.

    Args:
        gallery: names the faces.
        photos: of the pass.
        keep: takes the embedding (d,) of an unknown face and gives its row number.
        pictures: the folder of the photos with the faces drawn in; None: they are not drawn.
        looked: called when the network has run.
    """
    images = [image for _, image in photos if isinstance(image, np.ndarray)]
    found = gallery.identify_all(images)
    looked()
    looks = zip(found, measure_faces(images, found, gallery.terms.detect.longest_side), strict=True)
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
        faces, qualities = next(looks)
        if not faces:
            line["error"] = f"{source.path}: no face found"
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
