"""Reader of photos labeled in one JSON file, such as Caltech 10k Web Faces.

`annotations.json` maps the name of a file in `images/` to an object with these keys, in pixels of the photo:

- `boxes_xywh`: one box per face.
- `points` (optional): left eye, right eye, nose and mouth center of each face, or with the left and right mouth corner
  instead of the center, as seen in the photo; null if absent.
- `unlabelled_xywh` (optional): boxes of probable faces without a label.
- `size` (optional): width and height of the photo.
"""

from pathlib import Path
from typing import Any

import numpy as np

from onelook.data.detection_scenes import DetectionDataset, DetectionImage
from onelook.data.manifest import Face, missing_landmarks
from onelook.data.readers.labeled_photo import find_labeled_photo
from onelook.data.rng import Stream, make_rng
from onelook.data.splits import split_photos
from onelook.errors import DataError
from onelook.settings import JsonAnnotationsSettings, SplitFractions
from onelook.untrusted import one_line, printable, read_json
from onelook.workspace import workspace_path

LABELS = "annotations.json"
# Only the first three of four labeled points are landmarks here; the mouth's center does not give its corners.
_NUM_POINTS, _WITH_CENTER, _WITH_CORNERS = 3, 4, 5
_MAX_COORDINATE = 2**24
_MAX_LABEL_BYTES = 1024 * 2**20
_KEYS = {"boxes_xywh", "points", "unlabelled_xywh", "size"}


def read_json_annotations(settings: JsonAnnotationsSettings, fractions: SplitFractions, seed: int) -> DetectionDataset:
    """Read the labeled photos and assign them to splits at random.

    Mouth corners are NaN where only the mouth's center is labeled.

    Args:
        settings: `path` holds the label file and `images/`.
        fractions: fraction of the photos in each split.
        seed: seed of the assignment.

    Raises:
        DataError: the file is missing or damaged, or there are too few photos.
    """
    root = workspace_path(settings.path)
    labels = _load_json(root / LABELS)
    splits = split_photos(list(labels), fractions, make_rng(seed, Stream.SPLIT))
    photos = []
    missing = unlabeled = 0
    for name in sorted(labels):
        faces, ignored, size = _parse_label(root / LABELS, name, labels[name])
        path = find_labeled_photo(root / "images", name, root / LABELS)
        if path is None:
            missing += 1
            continue
        unlabeled += len(ignored)
        source = f"{root.name}, {name}"
        photos.append(DetectionImage(path, splits[name], faces, ignored, source, "as its data set", size))
    if not photos:
        raise DataError(f"{root / 'images'}: contains none of the {len(labels)} photos of {LABELS}")
    return DetectionDataset(tuple(photos), {"photos.missing": missing, "boxes.unlabeled": unlabeled})


def _load_json(path: Path) -> dict[str, Any]:
    try:
        labels: Any = read_json(path, _MAX_LABEL_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read; prepare.json_annotations.path must hold it beside images/") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(labels, dict):
        raise DataError(f"{path}: not a JSON object of file names; restore the file")
    return labels


def _parse_label(path: Path, name: str, label: Any) -> tuple[tuple[Face, ...], np.ndarray, tuple[int, int] | None]:
    """Return the faces, the ignored boxes (k, 4) and the size of one photo."""
    try:
        if unknown := label.keys() - _KEYS:
            raise ValueError(f"unknown key {min(unknown)!r}, valid keys are {', '.join(sorted(_KEYS))}")
        boxes = _xywh_to_corners(label["boxes_xywh"])
        points = [_landmarks(each) for each in label.get("points", [None] * len(boxes))]
        faces = tuple(Face(box, landmarks) for box, landmarks in zip(boxes, points, strict=True))
        size = label.get("size")
        if size is not None:
            width, height = size
            size = _parse_side(width), _parse_side(height)
        return faces, _xywh_to_corners(label.get("unlabelled_xywh", [])), size
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = one_line(error)
        raise DataError(f"{path}: {printable(name)}: not boxes and points ({reason}); correct the file") from error


def _parse_side(value: Any) -> int:
    if not isinstance(value, int) or not 0 < value < 2**31:
        raise ValueError("size is not a width and a height in pixels")
    return value


def _xywh_to_corners(boxes: list[list[float]]) -> np.ndarray:
    """Convert boxes from x, y, width, height to corners (n, 4) float32."""
    xywh = np.asarray(boxes, np.float64).reshape(len(boxes), 4)
    if not (np.abs(xywh) < _MAX_COORDINATE).all():
        raise ValueError("a box has a number that is no coordinate of a photo")
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1).astype(np.float32)


def _landmarks(points: list[list[float] | None] | None) -> np.ndarray:
    """Convert four or five labeled points, or None, to five landmarks (5, 2)."""
    landmarks = missing_landmarks()
    if points is not None:
        filled = [(np.nan, np.nan) if point is None else point for point in points]
        if len(filled) == _WITH_CORNERS:
            return np.asarray(filled, np.float32).reshape(_WITH_CORNERS, 2)
        landmarks[:_NUM_POINTS] = np.asarray(filled, np.float32).reshape(_WITH_CENTER, 2)[:_NUM_POINTS]
    return landmarks
