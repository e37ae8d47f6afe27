"""The unknown faces of a run, and cutting them out of their photos and videos."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from onelook.data.image_io import read_image
from onelook.errors import OnelookError
from onelook.gallery.face_quality import Quality, quality_problem
from onelook.media.journal import Line
from onelook.media.video_io import VideoReader

# Shares of the face that are left around it: the widest that shows no neighbor, as an enrolled photo has one face.
_MARGINS = (0.8, 0.6, 0.45, 0.3, 0.2, 0.1)
# Half-hidden, blurred and turned-away faces, and what is no face, are less sure, and all resemble each other: on web
# and press photos what lies under this made one group of many people. Nearly every face that can be known is above.
LEAST_SCORE = 0.98
# A sliver of a neighbor's box is hair or an ear.
_SLIVER = 0.25


@dataclass(frozen=True, eq=False)
class UnknownFace:
    """An unknown face of a photo, or the best one of an unknown track.

    Attributes:
        row: of its embedding, or of its track's template.
        source: the photo or video.
        frame: of a video; None: of a photo.
        box: (4,) x1 y1 x2 y2 in pixels.
        others: (n, 4) the other faces of the picture.
        quality: of the face.
    """

    row: int
    source: Path
    frame: int | None
    box: np.ndarray
    others: np.ndarray
    quality: Quality

    @property
    def usable(self) -> bool:
        """Whether it is clear enough to be told from others, and large and sharp enough to be enrolled."""
        return self.quality.score >= LEAST_SCORE and quality_problem(self.quality) is None


def unknown_faces(lines: Iterable[Line]) -> Iterator[UnknownFace]:
    """The unknown faces and tracks of a run's lines."""
    for line in lines:
        if line["what"] == "photo":
            boxes = np.asarray([face["box"] for face in line["faces"]], np.float64).reshape(-1, 4)
            for number, face in enumerate(line["faces"]):
                if face["row"] is not None:
                    yield _unnamed(line, face["row"], None, face, np.delete(boxes, number, 0))
        elif line["what"] == "track" and line["row"] is not None:
            best = line["best"]
            yield _unnamed(line, line["row"], best["frame"], best, np.asarray(best["others"]).reshape(-1, 4))


Cut = tuple[UnknownFace, np.ndarray | OnelookError]


def cut_out(faces: Iterable[UnknownFace]) -> Iterator[Cut]:
    """Each face with its picture, RGB uint8, at its photo's resolution, or what hinders; each file is read once."""
    in_order = sorted(faces, key=lambda face: (str(face.source), face.frame or 0, face.row))
    for source, some in groupby(in_order, key=lambda face: face.source):
        mine = list(some)
        try:
            if mine[0].frame is None:
                photo = read_image(source)
                yield from [(face, crop(photo, face.box, face.others)) for face in mine]
            else:
                yield from _of_video(source, mine)
        except OnelookError as error:
            yield mine[0], error


def crop(photo: np.ndarray, box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """A face (4,) with as much around it as shows none of the others (n, 4), at least a tenth of it on each side."""
    height, width = photo.shape[:2]
    margin = next((share for share in _MARGINS if _alone(_widened(box, share), others)), _MARGINS[-1])
    x1, y1, x2, y2 = _widened(box, margin).round().astype(int).clip(0, [width, height, width, height])
    return np.ascontiguousarray(photo[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])


def _of_video(path: Path, faces: list[UnknownFace]) -> Iterator[tuple[UnknownFace, np.ndarray]]:
    left = list(faces)
    with VideoReader(path) as reader:
        for frame in reader.frames():
            while left and left[0].frame == frame.number:
                face = left.pop(0)
                yield face, crop(frame.image, face.box, face.others)
            if not left:
                return
    raise OnelookError(f"{path}: has no frame {left[0].frame} any more; run `onelook identify-all` again")


def _alone(area: np.ndarray, others: np.ndarray) -> bool:
    low, high = np.maximum(others[:, :2], area[:2]), np.minimum(others[:, 2:], area[2:])
    whole = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return bool(((high - low).clip(0).prod(axis=1) <= _SLIVER * whole).all())


def _widened(box: np.ndarray, share: float) -> np.ndarray:
    side = np.tile(box[2:] - box[:2], 2)
    return box + side * share * np.array([-1, -1, 1, 1])


def _unnamed(line: Line, row: int, frame: int | None, face: dict[str, Any], others: np.ndarray) -> UnknownFace:
    quality = Quality(score=face["score"], size=face["size"], sharpness=face["sharpness"])
    return UnknownFace(row, Path(line["source"]), frame, np.asarray(face["box"], np.float64), others, quality)
