"""More faces for training: sets of crops, a face each, of people without a name.

A set is a directory with `images/` and `faces.csv`, whose columns are the file, a box and five points in pixels of the
crop. Their people have no name here even where a set knows it: one of them may stand in a test split under another.
"""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from onelook.data.manifest import Face, Scene
from onelook.errors import DataError
from onelook.files import inside
from onelook.settings import ExtraFacesSettings

_BOX = ("x1", "y1", "x2", "y2")
_POINTS = [
    f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
]


def write_extra_faces(folder: Path, settings: ExtraFacesSettings) -> Iterator[Scene]:
    """Copy every crop of every set into the data folder; its scenes have the role "crop" and train alone.

    Raises:
        DataError: a set, a file or a column is missing, or a crop is damaged.
    """
    root = Path(settings.path)
    lists = sorted(root.glob("*/faces.csv"))
    if not lists:
        raise DataError(f"{root}: no set in it (<set>/faces.csv); correct prepare.extra_faces.path, or leave it empty")
    for path in lists:
        name = path.parent.name
        target = folder / "images" / "train" / f"crops-{name}"
        target.mkdir(parents=True)
        for number, (file, face) in enumerate(_faces(path)):
            source = inside(path.parent / "images", file)
            pixels = cv2.imread(str(source), cv2.IMREAD_COLOR)
            if pixels is None:
                raise DataError(f"{source}: missing or damaged; remove its line from {path}")
            copy = target / f"{number:05d}{source.suffix}"
            shutil.copyfile(source, copy)
            height, width = pixels.shape[:2]
            image = copy.relative_to(folder).as_posix()
            yield Scene(image, width, height, "train", "crop", (face,), f"{name}, {file}", "research use")


def _faces(path: Path) -> Iterator[tuple[str, Face]]:
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                box = np.array([float(row[key]) for key in _BOX], np.float32)
                points = np.array([float(row[key]) for key in _POINTS], np.float32)
                yield row["file"], Face(box, points.reshape(5, 2))
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path}: a line is damaged ({error}); its columns are file, box and points") from error
