"""Unknown faces of a run, and their crops from the photos and videos."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from onelook.data.image_io import read_image
from onelook.errors import OnelookError
from onelook.face_quality import Quality, QualityLimits
from onelook.gallery.clustering import is_clusterable
from onelook.media.journal import Record
from onelook.media.video_io import VideoReader

# Fractions of the box side. The crop is enrolled later, and an enrolled photo must show a single face.
_CROP_MARGINS = (0.8, 0.6, 0.45, 0.3, 0.2, 0.1)
# At this fraction of a neighbor's box the crop shows only hair or an ear.
_MAX_NEIGHBOR_FRACTION = 0.25


@dataclass(frozen=True, eq=False)
class UnknownFace:
    """An unknown face of a photo, or the best face of an unknown track.

    Attributes:
        row: row index of its embedding, or of the template of its track.
        source: path of the photo or video.
        frame: frame number in a video; None in a photo.
        box: (4,) float64 x1 y1 x2 y2 in pixels.
        neighbor_boxes: (n, 4) float64, boxes of the other faces of the image.
        quality: quality of the face.
    """

    row: int
    source: Path
    frame: int | None
    box: np.ndarray
    neighbor_boxes: np.ndarray
    quality: Quality

    def is_usable(self, limits: QualityLimits) -> bool:
        """Return whether the face is good enough to be clustered and enrolled."""
        return is_clusterable(self.quality, limits)


CropResult = tuple[UnknownFace, np.ndarray | OnelookError]
"""A face with its crop, or with the error that prevents cropping the faces of its file."""


def iter_unknown_faces(records: Iterable[Record]) -> Iterator[UnknownFace]:
    """Yield the unknown faces and tracks in the records of a run."""
    for record in records:
        if record["what"] == "photo":
            boxes = np.asarray([face["box"] for face in record["faces"]], np.float64).reshape(-1, 4)
            for i, face in enumerate(record["faces"]):
                if face["row"] is not None:
                    yield _parse_face(record, face["row"], None, face, np.delete(boxes, i, 0))
        elif record["what"] == "track" and record["row"] is not None:
            best = record["best"]
            yield _parse_face(record, record["row"], best["frame"], best, np.asarray(best["others"]).reshape(-1, 4))


def crop_faces(faces: Iterable[UnknownFace]) -> Iterator[CropResult]:
    """Crop faces from their photos and videos at full resolution, each file read once.

    A file that cannot be read yields one error, with its first remaining face.
    """
    ordered = sorted(faces, key=lambda face: (str(face.source), face.frame or 0, face.row))
    for source, group in groupby(ordered, key=lambda face: face.source):
        source_faces = list(group)
        try:
            if source_faces[0].frame is None:
                image = read_image(source)
                yield from [(face, crop_face(image, face.box, face.neighbor_boxes)) for face in source_faces]
            else:
                yield from _crop_from_video(source, source_faces)
        except OnelookError as error:
            yield source_faces[0], error


def crop_face(image: np.ndarray, box: np.ndarray, neighbor_boxes: np.ndarray) -> np.ndarray:
    """Crop a face with the widest margin that shows no neighboring face.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2 in pixels.
        neighbor_boxes: (n, 4) boxes of the other faces.

    Returns:
        (h, w, 3) uint8 RGB, with a margin of 0.8 down to 0.1 of the box side, clipped to the image.
    """
    height, width = image.shape[:2]
    margin = next(
        (margin for margin in _CROP_MARGINS if _excludes_neighbors(_expand_box(box, margin), neighbor_boxes)),
        _CROP_MARGINS[-1],
    )
    x1, y1, x2, y2 = _expand_box(box, margin).round().astype(int).clip(0, [width, height, width, height])
    return np.ascontiguousarray(image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])


def _crop_from_video(path: Path, faces: list[UnknownFace]) -> Iterator[tuple[UnknownFace, np.ndarray]]:
    """Crop faces, sorted by frame, in one pass over the video."""
    remaining = list(faces)
    with VideoReader(path) as reader:
        for frame in reader.frames():
            while remaining and remaining[0].frame == frame.number:
                face = remaining.pop(0)
                yield face, crop_face(frame.image, face.box, face.neighbor_boxes)
            if not remaining:
                return
    raise OnelookError(f"{path}: has no frame {remaining[0].frame} any more; run `onelook identify-all` again")


def _excludes_neighbors(region: np.ndarray, neighbor_boxes: np.ndarray) -> bool:
    top_left = np.maximum(neighbor_boxes[:, :2], region[:2])
    bottom_right = np.minimum(neighbor_boxes[:, 2:], region[2:])
    areas = (neighbor_boxes[:, 2:] - neighbor_boxes[:, :2]).prod(axis=1)
    shown_areas = (bottom_right - top_left).clip(0).prod(axis=1)
    return bool((shown_areas <= _MAX_NEIGHBOR_FRACTION * areas).all())


def _expand_box(box: np.ndarray, margin: float) -> np.ndarray:
    sides = np.tile(box[2:] - box[:2], 2)
    return box + sides * margin * np.array([-1, -1, 1, 1])


def _parse_face(
    record: Record, row: int, frame: int | None, face: dict[str, Any], neighbor_boxes: np.ndarray
) -> UnknownFace:
    quality = Quality(score=face["score"], size=face["size"], sharpness=face["sharpness"], profile=face.get("profile"))
    return UnknownFace(row, Path(record["source"]), frame, np.asarray(face["box"], np.float64), neighbor_boxes, quality)
