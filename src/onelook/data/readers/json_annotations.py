"""The reader of photos labeled in one JSON file, such as Caltech 10k Web Faces.

`annotations.json` maps the name of a file in `images/` to `boxes_xywh`, a face each, in pixels of the photo; and, where
there are any, `points` of each face (left eye, right eye, nose and mouth center as seen in the photo, null where one is
absent), `unlabelled_xywh` (likely faces without a label) and `size` (width and height of the photo).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from onelook.data.detection_scenes import DetectionDataset, DetectionImage
from onelook.data.manifest import Face, missing_landmarks
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import split_photos
from onelook.errors import DataError
from onelook.files import inside
from onelook.settings import JsonAnnotationsSettings, SplitFractions

LABELS = "annotations.json"
# Of the four labeled points the first three are our own; the center of a mouth says nothing of its corners.
_POINTS = 3
_KEYS = {"boxes_xywh", "points", "unlabelled_xywh", "size"}


def read_json_annotations(settings: JsonAnnotationsSettings, shares: SplitFractions, seed: int) -> DetectionDataset:
    """Every labeled photo, divided by the run's seed into the three splits by the shares.

    Mouth corners are NaN: what is labeled is the mouth's center.

    Raises:
        DataError: the file is missing or damaged, or there are too few photos.
    """
    root = Path(settings.path)
    labels = _load(root / LABELS)
    splits = split_photos(list(labels), shares, make_rng(seed, Stream.PEOPLE))
    photos = []
    missing = unlabeled = 0
    for name in sorted(labels):
        faces, ignored, size = _photo(root / LABELS, name, labels[name])
        path = inside(root / "images", name)
        if not path.is_file():
            missing += 1
            continue
        unlabeled += len(ignored)
        source = f"{root.name}, {name}"
        photos.append(DetectionImage(path, splits[name], faces, ignored, source, "as its data set", size))
    if not photos:
        raise DataError(f"{root / 'images'}: holds none of the {len(labels)} photos that {LABELS} names")
    return DetectionDataset(tuple(photos), {"photos.missing": missing, "boxes.unlabeled": unlabeled})


def _load(path: Path) -> dict[str, Any]:
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read; prepare.json_annotations.path must hold it beside images/") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(labels, dict):
        raise DataError(f"{path}: not a JSON object of file names; restore the file")
    return labels


def _photo(path: Path, name: str, label: Any) -> tuple[tuple[Face, ...], np.ndarray, tuple[int, int] | None]:
    """Faces, ignored boxes (k, 4) and the size of one photo's label."""
    try:
        if unknown := label.keys() - _KEYS:
            raise ValueError(f"unknown key {min(unknown)!r}, known are {', '.join(sorted(_KEYS))}")
        boxes = _corners(label["boxes_xywh"])
        points = [_landmarks(each) for each in label.get("points", [None] * len(boxes))]
        faces = tuple(Face(box, landmarks) for box, landmarks in zip(boxes, points, strict=True))
        size = label.get("size")
        if size is not None:
            width, height = size
            size = int(width), int(height)
        return faces, _corners(label.get("unlabelled_xywh", [])), size
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: {name}: not boxes and points ({error}); mend the file") from error


def _corners(boxes: list[list[float]]) -> np.ndarray:
    """From x, y, width, height, a box a row, to corners (n, 4) float32."""
    sides = np.asarray(boxes, np.float64).reshape(len(boxes), 4)
    if not np.isfinite(sides).all():
        raise ValueError("a box has a number that is not finite")
    return np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1).astype(np.float32)


def _landmarks(points: list[list[float] | None] | None) -> np.ndarray:
    """Our five landmarks (5, 2) of four labeled points, or of none."""
    landmarks = missing_landmarks()
    if points is not None:
        whole = [(np.nan, np.nan) if point is None else point for point in points]
        landmarks[:_POINTS] = np.asarray(whole, np.float32).reshape(_POINTS + 1, 2)[:_POINTS]
    return landmarks
