"""Reader of extra training crops, one unnamed face each.

A set is a directory with `images/` and `faces.csv`, whose columns are the file, a box and five points in pixels of the
crop. Identities are dropped even if a set has them, as the same person may be in a test split under another name.
"""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from onelook.data.manifest import Face, Scene
from onelook.errors import DataError
from onelook.files import resolve_inside
from onelook.settings import ExtraFacesSettings

BOX_COLUMNS = ("x1", "y1", "x2", "y2")
LANDMARK_COLUMNS = [
    f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
]
COLUMNS = ("file", *BOX_COLUMNS, *LANDMARK_COLUMNS)
"""Columns of `faces.csv`."""


def write_extra_faces(folder: Path, settings: ExtraFacesSettings) -> Iterator[Scene]:
    """Copy every crop of every set into the data folder.

    Args:
        folder: the data folder.
        settings: `path` holds the sets.

    Yields:
        One scene per crop, of the split "train" and the role "crop".

    Raises:
        DataError: a set, a file or a column is missing, or a crop is damaged.
    """
    root = Path(settings.path)
    csv_paths = sorted(root.glob("*/faces.csv"))
    if not csv_paths:
        raise DataError(
            f"{root}: contains no set (<set>/faces.csv); correct prepare.extra_faces.path, or leave it empty"
        )
    for path in csv_paths:
        name = path.parent.name
        target = folder / "images" / "train" / f"crops-{name}"
        target.mkdir(parents=True)
        for number, (file, face) in enumerate(read_face_list(path)):
            source = resolve_inside(path.parent / "images", file)
            image = cv2.imread(str(source), cv2.IMREAD_COLOR)
            if image is None:
                raise DataError(f"{source}: missing or damaged; remove its line from {path}")
            copy = target / f"{number:05d}{source.suffix}"
            shutil.copyfile(source, copy)
            height, width = image.shape[:2]
            name_in_folder = copy.relative_to(folder).as_posix()
            yield Scene(name_in_folder, width, height, "train", "crop", (face,), f"{name}, {file}", "research use")


def read_face_list(path: Path) -> Iterator[tuple[str, Face]]:
    """Yield file and face of each line of a set's `faces.csv`.

    Raises:
        DataError: a column is missing, or a line is damaged.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                box = np.array([float(row[key]) for key in BOX_COLUMNS], np.float32)
                landmarks = np.array([float(row[key]) for key in LANDMARK_COLUMNS], np.float32)
                yield row["file"], Face(box, landmarks.reshape(5, 2))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path}: a line is damaged ({error}); the columns are file, box and points") from error
