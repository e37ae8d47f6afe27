"""Reader of CelebA: photos with identity, box and five landmarks.

Liu et al., "Deep learning face attributes in the wild", 2015. Label files are read from the folder of the photos or
from Anno/ and Eval/ as in the authors' archive, with the photos under Img/. Landmarks keep the file's order, as "left"
is left as seen in the image, here as well. Coordinates are unchanged.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onelook.data.manifest import Face, Split, missing_landmarks
from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.data.readers.labeled_photo import find_labeled_photo
from onelook.errors import DataError
from onelook.settings import CelebaImages, CelebaSettings
from onelook.untrusted import iter_lines, printable
from onelook.workspace import workspace_path

LICENSE = "non-commercial research only; credit Liu et al. 2015 (MMLab, The Chinese University of Hong Kong)"

IDENTITIES = "identity_CelebA.txt"
BOXES = "list_bbox_celeba.txt"
LANDMARKS: dict[CelebaImages, str] = {
    "img_celeba": "list_landmarks_celeba.txt",
    "img_align_celeba": "list_landmarks_align_celeba.txt",
}
PARTITION = "list_eval_partition.txt"

_MAX_LINE_BYTES = 2**16
_BOX_COLUMNS = ["x_1", "y_1", "width", "height"]
_LANDMARK_COLUMNS = [f"{p}_{axis}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"]
_SPLITS: dict[int, Split] = {0: "train", 1: "validation", 2: "test"}


def read_celeba(settings: CelebaSettings) -> IdentityDataset:
    """Read the photos of the identity list by name; identities are "celeba-1" and on.

    - Boxes are in pixels of img_celeba, so faces of img_align_celeba have landmarks only.
    - A box without area, and a point at (0, 0) or (-1, -1), is a missing label.
    - A photo that is not on disk is skipped, so a part of CelebA can be read.
    - Without the list of partitions there is no official split.

    Raises:
        DataError: the folder, the photos or a label file is missing, a line is damaged, a label file is truncated, or
            an identity is in two partitions or in none.
        OnelookError: a name in a label file leads out of the folder.
    """
    root, images = workspace_path(settings.path), settings.images
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set prepare.celeba.path to the folder that CelebA was unpacked to")
    folder = _photo_folder(root, images)
    identities = _read_integers(_label_file(root, IDENTITIES))
    boxes = _read_labels(_label_file(root, BOXES), _BOX_COLUMNS) if images == "img_celeba" else {}
    landmarks = _read_labels(_label_file(root, LANDMARKS[images]), _LANDMARK_COLUMNS)
    partition = _find(root, ("", "Eval"), PARTITION)
    splits = {} if partition is None else _read_integers(partition)
    for name, number in splits.items():
        if number not in _SPLITS:
            raise DataError(
                f"{partition}: {printable(name)} is in partition {number}, not 0, 1 or 2; download it again"
            )
    found, skipped = [], []
    official_splits: dict[str, Split] = {}
    for name in sorted(identities):
        path = find_labeled_photo(root, str(folder.relative_to(root) / name), root / IDENTITIES)
        if path is None:
            skipped.append(f"{folder / name}: skipped, no such photo")
            continue
        identity = f"celeba-{identities[name]}"
        if partition is not None:
            if name not in splits:
                raise DataError(f"{partition}: {printable(name)} is missing; download it again")
            split = _SPLITS[splits[name]]
            if official_splits.setdefault(identity, split) != split:
                raise DataError(
                    f"{partition}: {printable(name)} is in {split}, unlike other photos of its identity; "
                    "download it again"
                )
        label = _make_face(boxes.get(name), landmarks.get(name), identity)
        found.append(IdentityImage(path, identity, f"CelebA, {images}/{name}", LICENSE, label=label))
    if not found:
        raise DataError(f"{folder}: none of the {len(identities)} photos of {IDENTITIES} exists; unpack them there")
    return IdentityDataset(tuple(found), tuple(skipped), official_splits or None)


def _make_face(box: np.ndarray | None, points: np.ndarray | None, identity: str) -> Face | None:
    corners = np.full(4, np.nan, np.float32)
    if box is not None and (box[2:] > 0).all():
        corners = np.concatenate([box[:2], box[:2] + box[2:]]).astype(np.float32)
    landmarks = missing_landmarks()
    if points is not None:
        landmarks = points.reshape(5, 2).astype(np.float32)
        landmarks[(landmarks == 0).all(axis=1) | (landmarks == -1).all(axis=1)] = np.nan
    if np.isnan(corners).all() and np.isnan(landmarks).all():
        return None
    return Face(corners, landmarks, identity)


def _photo_folder(root: Path, images: CelebaImages) -> Path:
    for folder in (root / images, root / "Img" / images):
        if folder.is_dir():
            return folder
    raise DataError(f"{root}: it has no folder {images}; unpack the photos there, or change prepare.celeba.images")


def _find(root: Path, folders: tuple[str, ...], name: str) -> Path | None:
    return next((root / folder / name for folder in folders if (root / folder / name).is_file()), None)


def _label_file(root: Path, name: str) -> Path:
    path = _find(root, ("", "Anno"), name)
    if path is None:
        raise DataError(f"{root / name}: no such label file; download it from CelebA's page")
    return path


def _read_integers(path: Path) -> dict[str, int]:
    """Read a file without a header that maps names to integers."""
    values = {name: float(row[0]) for name, row in _read_labels(path, ["number"], header=False).items()}
    for name, value in values.items():
        if not value.is_integer():
            raise DataError(f"{path}: {printable(name)} has {value:g}, not an integer; download it again")
    return {name: int(value) for name, value in values.items()}


def _read_labels(path: Path, columns: list[str], *, header: bool = True) -> dict[str, np.ndarray]:
    """Read a label file that maps names to rows, (len(columns),) float64.

    A header has two lines: the number of rows, which reveals a truncated file, and the names of the columns.
    """
    lines = _read_lines(path)
    count = None
    if header:
        count = _parse_count(path, next(lines, (1, []))[1])
        names = next(lines, (2, []))[1]
        if names[-len(columns) :] != columns:
            raise DataError(f"{path}, line 2: the columns are not {' '.join(columns)}; download it again")
    rows: dict[str, np.ndarray] = {}
    for number, (name, *values) in lines:
        row = _parse_numbers(values)
        if row is None or len(row) != len(columns):
            raise DataError(
                f"{path}, line {number}: not a name and {len(columns)} "
                f"{'number' if len(columns) == 1 else 'numbers'}; download it again"
            )
        if name in rows:
            raise DataError(f"{path}, line {number}: {printable(name)} occurs twice; remove one of the two lines")
        rows[name] = row
    if count is not None and count != len(rows):
        raise DataError(f"{path}: {len(rows)} rows, but {count} according to line 1; download it again")
    return rows


def _read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Iterate over the lines that are not blank: line number and words."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(iter_lines(stream, _MAX_LINE_BYTES), start=1):
                if words := line.decode("utf-8").split():
                    yield number, words
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); download it again") from error


def _parse_count(path: Path, words: list[str]) -> int:
    if len(words) == 1 and words[0].isdecimal() and len(words[0]) < 10:
        return int(words[0])
    raise DataError(f"{path}, line 1: not the number of rows; download it again")


def _parse_numbers(words: list[str]) -> np.ndarray | None:
    try:
        row = np.array([float(word) for word in words])
    except ValueError:
        return None
    return row if (np.abs(row) < 2**24).all() else None  # a larger value or NaN is neither a coordinate nor an identity
