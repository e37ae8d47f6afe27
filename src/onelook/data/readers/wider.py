"""The reader of WIDER FACE (Yang et al., CVPR 2016), with RetinaFace's five points where they are there.

The official labels are `wider_face_split/wider_face_{train,val}_bbx_gt.txt`: the path of a photo, the number of its
faces, and a line each: x, y, width, height, blur, expression, illumination, invalid, occlusion, pose. A photo without a
face has the number 0 and one line of zeros all the same. `retinaface/train/label.txt` (Deng et al. 2019) has a line
`# path` for a photo and one for each face: the same box, then x, y and a flag for each of the five points, -1 where
there are none; a flag of 1 tells of a point that is hidden, which people have placed nonetheless.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from onelook.data.detection_scenes import DetectionDataset, DetectionImage
from onelook.data.manifest import Face, Split, missing_landmarks
from onelook.data.rng import Stream, make_rng
from onelook.errors import DataError
from onelook.files import inside
from onelook.settings import SplitFractions, WiderSettings

LICENSE = "WIDER FACE; non-commercial research"
POINTS = "retinaface/train/label.txt"

# Columns of the official labels: without attributes, and with them.
_BOX, _ALL, _INVALID = 4, 10, 7

Rows = dict[str, np.ndarray]
"""Numbers (n, columns) float64 of a photo's faces, by the photo's path under `images`."""
PointsOf = dict[tuple[str, tuple[float, ...]], np.ndarray]
"""Landmarks (5, 2) by photo and box."""


def read_wider(settings: WiderSettings, shares: SplitFractions, seed: int) -> DetectionDataset:
    """Every photo that is there; its invalid boxes are ignored ones.

    The training photos train. The validation photos are divided by photo, with the run's seed, into validation and test
    in the ratio of the shares; events stand on both sides, as they do in the official division. Without training photos
    nothing has to be validated, and all of them test.

    Raises:
        DataError: the validation labels are missing, a file is damaged, or no photo is there.
    """
    root = Path(settings.path)
    training = _part(root, "train") if (root / _labels("train")).is_file() else {}
    held = _part(root, "val")
    order = make_rng(seed, Stream.PEOPLE).permutation(len(held))
    count = round(len(held) * shares.validation / (shares.validation + shares.test)) if training else 0
    validating = {sorted(held)[i] for i in order[:count]}
    splits: dict[str, Split] = dict.fromkeys(training, "train")
    splits |= {name: "validation" if name in validating else "test" for name in held}
    points, unmatched = _points(root, training)
    counts = {"points.unmatched": unmatched, "photos.missing": 0, "boxes.invalid": 0}
    photos = []
    for part, rows in (("train", training), ("val", held)):
        for photo in _photos(root / f"WIDER_{part}" / "images", rows, points, splits):
            if photo.path.is_file():
                counts["boxes.invalid"] += len(photo.ignored)
                photos.append(photo)
            else:
                counts["photos.missing"] += 1
    if not photos:
        raise DataError(f"{root}: none of the labeled photos is there; prepare.wider.path must hold WIDER_val/images")
    return DetectionDataset(tuple(photos), counts)


def _labels(part: str) -> str:
    return f"wider_face_split/wider_face_{part}_bbx_gt.txt"


def _photos(images: Path, rows: Rows, points: PointsOf, splits: Mapping[str, Split]) -> Iterator[DetectionImage]:
    for name, faces in rows.items():
        corners = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:_BOX]], axis=1).astype(np.float32)
        invalid = faces[:, _INVALID] != 0 if faces.shape[1] == _ALL else np.zeros(len(faces), bool)
        valid = [
            Face(corners[i], points.get((name, tuple(faces[i, :_BOX])), missing_landmarks()))
            for i in np.flatnonzero(~invalid)
        ]
        source = f"WIDER FACE, {name}"
        yield DetectionImage(inside(images, name), splits[name], tuple(valid), corners[invalid], source, LICENSE)


def _part(root: Path, part: str) -> Rows:
    """The official labels of the training or the validation photos."""
    path = root / _labels(part)
    lines = _lines(path)
    rows: Rows = {}
    at = 0
    while at < len(lines):
        number, name = lines[at]
        try:
            count = int(lines[at + 1][1])
            faces = [_numbers(line, _BOX, _ALL) for _, line in lines[at + 2 : at + 2 + count]]
            if len(faces) != count:
                raise ValueError(f"{len(faces)} boxes")
            rows[name] = np.array(faces, np.float64).reshape(count, len(faces[0]) if faces else _ALL)
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}, line {number}: {name}: not a photo with its boxes; unpack it again") from error
        at += 2 + count
        if count == 0 and at < len(lines) and not lines[at][1].strip("0 "):
            at += 1
    return rows


def _points(root: Path, training: Rows) -> tuple[PointsOf, int]:
    """RetinaFace's points of the training faces, and how many of those faces the official labels lack."""
    path = root / POINTS
    points: PointsOf = {}
    if not (training and path.is_file()):
        return points, 0
    official = {(name, tuple(face[:_BOX])) for name, faces in training.items() for face in faces}
    unmatched = 0
    name = ""
    for number, line in _lines(path):
        if line.startswith("#"):
            name = line[1:].strip()
            continue
        try:
            numbers = np.array(_numbers(line, _BOX, _BOX + 15, _BOX + 16))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not a box and five points; download it again") from error
        landmarks = numbers[_BOX : _BOX + 15].reshape(-1, 3)[:, :2]
        present = (landmarks != -1).all(1)
        if not present.any():
            continue
        key = name, tuple(numbers[:_BOX])
        unmatched += key not in official
        points[key] = np.where(present[:, None], landmarks, np.nan).astype(np.float32)
    return points, unmatched


def _numbers(line: str, *lengths: int) -> list[float]:
    numbers = [float(word) for word in line.split()]
    if len(numbers) not in lengths or not np.isfinite(numbers).all():
        raise ValueError(line)
    return numbers


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read; prepare.wider.path must hold WIDER FACE as it is unpacked") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
