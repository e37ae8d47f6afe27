"""The reader of CelebA: celebrities' photos with identity, box and five landmarks.

Liu et al., "Deep learning face attributes in the wild", 2015. Label files may lie beside the folder of photos or where
the authors' archive has them, in Anno/ and Eval/ with the photos under Img/. "Left" is left as seen in the image, as
everywhere here, so landmarks are taken in the file's order. Coordinates are taken as they stand.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onelook.data.manifest import Face, Split, missing_landmarks
from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError
from onelook.files import inside
from onelook.settings import CelebaImages, CelebaSettings

LICENSE = "non-commercial research only; credit Liu et al. 2015 (MMLab, The Chinese University of Hong Kong)"

IDENTITIES = "identity_CelebA.txt"
BOXES = "list_bbox_celeba.txt"
LANDMARKS: dict[CelebaImages, str] = {
    "img_celeba": "list_landmarks_celeba.txt",
    "img_align_celeba": "list_landmarks_align_celeba.txt",
}
PARTITION = "list_eval_partition.txt"

_BOX_COLUMNS = ["x_1", "y_1", "width", "height"]
_LANDMARK_COLUMNS = [f"{p}_{axis}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"]
_SPLITS: dict[int, Split] = {0: "train", 1: "validation", 2: "test"}


def read_celeba(settings: CelebaSettings) -> IdentityDataset:
    """Every photo in the list of identities that is there, in the order of names; identities are "celeba-1" and on.

    Boxes are in pixels of img_celeba, so a face of img_align_celeba is labeled with landmarks alone. A box of no area,
    and a point at (0, 0) or (-1, -1), is a label that is missing. A photo that is not on disk is left out, so a part of
    CelebA can be read. Without its list of partitions nothing is official.

    Raises:
        DataError: the folder, the photos or a label file is missing, a line is damaged, rows are missing at the end, or
            a person is in two partitions or in none.
        OnelookError: a name in a label file leads out of the folder.
    """
    root, images = Path(settings.path), settings.images
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; set prepare.celeba.path to the folder that CelebA was unpacked to")
    folder = _photos(root, images)
    identities = _read_numbers(_label_file(root, IDENTITIES))
    boxes = _read_labels(_label_file(root, BOXES), _BOX_COLUMNS) if images == "img_celeba" else {}
    landmarks = _read_labels(_label_file(root, LANDMARKS[images]), _LANDMARK_COLUMNS)
    partition = _find(root, ("", "Eval"), PARTITION)
    splits = {} if partition is None else _read_numbers(partition)
    for name, number in splits.items():
        if number not in _SPLITS:
            raise DataError(f"{partition}: {name} is in partition {number}, not 0, 1 or 2; download it again")
    portraits, left_out = [], []
    official: dict[str, Split] = {}
    for name in sorted(identities):
        path = _photo(root, folder, name)
        if path is None:
            left_out.append(f"{folder / name}: left out, no such photo")
            continue
        identity = f"celeba-{identities[name]}"
        if partition is not None:
            if name not in splits:
                raise DataError(f"{partition}: {name} is not in it; download it again")
            split = _SPLITS[splits[name]]
            if official.setdefault(identity, split) != split:
                raise DataError(f"{partition}: {name} is for {split}, others of its person are not; download it again")
        label = _label(boxes.get(name), landmarks.get(name), identity)
        portraits.append(IdentityImage(path, identity, f"CelebA, {images}/{name}", LICENSE, label=label))
    if not portraits:
        raise DataError(f"{folder}: none of the {len(identities)} photos of {IDENTITIES} is here; unpack them into it")
    return IdentityDataset(tuple(portraits), tuple(left_out), official or None)


def _label(box: np.ndarray | None, points: np.ndarray | None, identity: str) -> Face | None:
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


def _photos(root: Path, images: CelebaImages) -> Path:
    for folder in (root / images, root / "Img" / images):
        if folder.is_dir():
            return folder
    raise DataError(f"{root}: no folder {images} in it; unpack the photos there, or change prepare.celeba.images")


def _photo(root: Path, folder: Path, name: str) -> Path | None:
    """The file a label names, None where there is none."""
    try:
        path = inside(root, (folder / name).relative_to(root).as_posix())
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError) as error:  # a name no file can have, or links in a circle
        raise DataError(f"{folder}: {name[:40]!r} is no name of a photo; download {IDENTITIES} again") from error


def _find(root: Path, folders: tuple[str, ...], name: str) -> Path | None:
    return next((root / folder / name for folder in folders if (root / folder / name).is_file()), None)


def _label_file(root: Path, name: str) -> Path:
    path = _find(root, ("", "Anno"), name)
    if path is None:
        raise DataError(f"{root / name}: no such label file; download it from CelebA's page")
    return path


def _read_numbers(path: Path) -> dict[str, int]:
    """Name to whole number, of a file without a header."""
    values = {name: float(row[0]) for name, row in _read_labels(path, ["number"], header=False).items()}
    for name, value in values.items():
        if not value.is_integer():
            raise DataError(f"{path}: {name} has {value:g}, not a whole number; download it again")
    return {name: int(value) for name, value in values.items()}


def _read_labels(path: Path, columns: list[str], *, header: bool = True) -> dict[str, np.ndarray]:
    """Name to row of numbers (len(columns),) float64.

    With a header the first line is the number of rows, which tells a truncated file, and the second names the columns.
    """
    lines = _lines(path)
    count = None
    if header:
        count = _count(path, next(lines, (1, []))[1])
        names = next(lines, (2, []))[1]
        if names[-len(columns) :] != columns:
            raise DataError(f"{path}, line 2: the columns are not {' '.join(columns)}; download it again")
    rows: dict[str, np.ndarray] = {}
    for number, (name, *values) in lines:
        row = _numbers(values)
        if row is None or len(row) != len(columns):
            raise DataError(
                f"{path}, line {number}: not a name and {len(columns)} "
                f"{'number' if len(columns) == 1 else 'numbers'}; download it again"
            )
        if name in rows:
            raise DataError(f"{path}, line {number}: {name} stands twice; remove one of the two lines")
        rows[name] = row
    if count is not None and count != len(rows):
        raise DataError(f"{path}: {len(rows)} rows, {count} by its first line; download it again")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbers and words of the lines that are not blank."""
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if words := line.split():
                    yield number, words
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error}); download it again") from error


def _count(path: Path, words: list[str]) -> int:
    if len(words) == 1 and words[0].isdecimal() and len(words[0]) < 10:
        return int(words[0])
    raise DataError(f"{path}, line 1: not the number of rows; download it again")


def _numbers(words: list[str]) -> np.ndarray | None:
    try:
        row = np.array([float(word) for word in words])
    except ValueError:
        return None
    return row if (np.abs(row) < 2**24).all() else None  # beyond that, or NaN, it is no pixel and no person
