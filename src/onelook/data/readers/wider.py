"""Reader of WIDER FACE (Yang et al., CVPR 2016) with RetinaFace's landmarks.

- Official labels, `wider_face_split/wider_face_{train,val}_bbx_gt.txt`: the path of a photo, the number of its faces,
  and a line per face: x, y, width, height, blur, expression, illumination, invalid, occlusion, pose. A photo without a
  face has the number 0 and one line of zeros.
- Landmarks (optional), `retinaface/train/label.txt` (Deng et al. 2019): a line `# path` per photo and a line per face:
  the same box, then x, y and a flag for each of the five points. An unlabeled point is -1; the flag 1 marks an occluded
  point, whose position was estimated by the annotator.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from onelook.data.detection_scenes import DetectionDataset, DetectionImage
from onelook.data.manifest import Face, Split, missing_landmarks
from onelook.data.readers.labeled_photo import find_labeled_photo
from onelook.data.rng import Stream, make_rng
from onelook.errors import DataError
from onelook.settings import SplitFractions, WiderSettings
from onelook.untrusted import printable, read_limited
from onelook.workspace import workspace_path

LICENSE = "WIDER FACE; non-commercial research"
LANDMARKS_FILE = "retinaface/train/label.txt"

# Number of columns of the official labels without and with attributes, and the column of the flag "invalid".
_BOX_COLUMNS, _ALL_COLUMNS, _INVALID_COLUMN = 4, 10, 7
_MAX_LABEL_BYTES = 512 * 2**20
_MAX_COORDINATE = 2**24  # float32 holds smaller integers exactly

LabelRows = dict[str, np.ndarray]
"""Path of a photo under `images/`: label rows of its faces, (n, columns) float64."""
LandmarksByBox = dict[tuple[str, tuple[float, ...]], np.ndarray]
"""(Path of a photo, box as x, y, width, height): landmarks (5, 2)."""


def read_wider(settings: WiderSettings, fractions: SplitFractions, seed: int) -> DetectionDataset:
    """Read the labeled photos; missing photos are counted.

    - Official training photos are the split "train".
    - Official validation photos are assigned to "validation" and "test" at random, in the ratio of the fractions. Both
      splits share events, as in the official split. Without training photos all of them are the split "test".
    - Boxes marked invalid are ignored boxes.

    Args:
        settings: `path` holds the labels and the photos.
        fractions: only the ratio of validation to test is used.
        seed: seed of the assignment.

    Raises:
        DataError: the validation labels are missing, a file is damaged, or no labeled photo exists.
    """
    root = workspace_path(settings.path)
    training = _read_labels(root, "train") if (root / _labels_file("train")).is_file() else {}
    held_out = _read_labels(root, "val")
    order = make_rng(seed, Stream.SPLIT).permutation(len(held_out))
    count = round(len(held_out) * fractions.validation / (fractions.validation + fractions.test)) if training else 0
    validation = {sorted(held_out)[i] for i in order[:count]}
    splits: dict[str, Split] = dict.fromkeys(training, "train")
    splits |= {name: "validation" if name in validation else "test" for name in held_out}
    landmarks, unmatched = _read_landmarks(root, training)
    counts = {"points.unmatched": unmatched, "photos.missing": 0, "boxes.invalid": 0}
    photos = []
    for part, rows in (("train", training), ("val", held_out)):
        images = _labeled_images(root, part, rows, landmarks, splits)
        found = [photo for photo in images if photo is not None]
        counts["boxes.invalid"] += sum(len(photo.ignored) for photo in found)
        counts["photos.missing"] += len(rows) - len(found)
        photos += found
    if not photos:
        raise DataError(f"{root}: none of the labeled photos exists; prepare.wider.path must hold WIDER_val/images")
    return DetectionDataset(tuple(photos), counts)


def _labels_file(part: str) -> str:
    return f"wider_face_split/wider_face_{part}_bbx_gt.txt"


def _labeled_images(
    root: Path, part: str, rows: LabelRows, landmarks: LandmarksByBox, splits: Mapping[str, Split]
) -> Iterator[DetectionImage | None]:
    """Yield the labeled photos of a part; None for each that has no file."""
    images = root / f"WIDER_{part}" / "images"
    for name, faces in rows.items():
        path = find_labeled_photo(images, name, root / _labels_file(part))
        if path is None:
            yield None
            continue
        corners = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:_BOX_COLUMNS]], axis=1).astype(np.float32)
        invalid = faces[:, _INVALID_COLUMN] != 0 if faces.shape[1] == _ALL_COLUMNS else np.zeros(len(faces), bool)
        valid = [
            Face(corners[i], landmarks.get((name, tuple(faces[i, :_BOX_COLUMNS])), missing_landmarks()))
            for i in np.flatnonzero(~invalid)
        ]
        source = f"WIDER FACE, {name}"
        yield DetectionImage(path, splits[name], tuple(valid), corners[invalid], source, LICENSE)


def _read_labels(root: Path, part: str) -> LabelRows:
    """Read the official labels of a part, "train" or "val"."""
    path = root / _labels_file(part)
    lines = _read_lines(path)
    rows: LabelRows = {}
    position = 0
    while position < len(lines):
        number, name = lines[position]
        try:
            count = int(lines[position + 1][1])
            faces = [
                _parse_numbers(line, _BOX_COLUMNS, _ALL_COLUMNS)
                for _, line in lines[position + 2 : position + 2 + count]
            ]
            if len(faces) != count:
                raise ValueError(f"{len(faces)} boxes")
            rows[name] = np.array(faces, np.float64).reshape(count, len(faces[0]) if faces else _ALL_COLUMNS)
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}, line {number}: {printable(name)}: not a photo with its boxes; unpack it again"
            ) from error
        position += 2 + count
        if count == 0 and position < len(lines) and not lines[position][1].strip("0 "):
            position += 1
    return rows


def _read_landmarks(root: Path, training: LabelRows) -> tuple[LandmarksByBox, int]:
    """Read RetinaFace's landmarks of the training faces.

    Returns:
        The landmarks, and the number of labeled faces that are missing in the official labels.
    """
    path = root / LANDMARKS_FILE
    landmarks: LandmarksByBox = {}
    if not (training and path.is_file()):
        return landmarks, 0
    official = {(name, tuple(face[:_BOX_COLUMNS])) for name, faces in training.items() for face in faces}
    unmatched = 0
    name = ""
    for number, line in _read_lines(path):
        if line.startswith("#"):
            name = line[1:].strip()
            continue
        try:
            numbers = np.array(_parse_numbers(line, _BOX_COLUMNS, _BOX_COLUMNS + 15, _BOX_COLUMNS + 16))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not a box and five points; download it again") from error
        points = numbers[_BOX_COLUMNS : _BOX_COLUMNS + 15].reshape(-1, 3)[:, :2]
        is_labeled = (points != -1).all(1)
        if not is_labeled.any():
            continue
        key = name, tuple(numbers[:_BOX_COLUMNS])
        unmatched += key not in official
        landmarks[key] = np.where(is_labeled[:, None], points, np.nan).astype(np.float32)
    return landmarks, unmatched


def _parse_numbers(line: str, *lengths: int) -> list[float]:
    numbers = [float(word) for word in line.split()]
    if len(numbers) not in lengths or not (np.abs(numbers) < _MAX_COORDINATE).all():  # false for NaN, too
        raise ValueError("not as many coordinates")
    return numbers


def _read_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that are not blank, with their line numbers from 1."""
    try:
        text = read_limited(path, _MAX_LABEL_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read; prepare.wider.path must hold the unpacked WIDER FACE") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
