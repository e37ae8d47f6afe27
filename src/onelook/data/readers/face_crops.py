"""Reader of extra training crops, one unnamed face each.

A set is a directory with `images/` and `faces.csv`, whose columns are the file, a box and five points in pixels of the
crop. The optional column `unturned` names set and file, SET/FILE, of the crop that a face turned in 3D was made of;
the optional column `source` names the photo of a crop.
Identities are dropped even if a set has them, as the same person may be in a test split under another name.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from onelook.data.held_out import is_held_out
from onelook.data.image_io import read_image
from onelook.data.manifest import CROPS_PREFIX, Face, Scene
from onelook.data.photo_copies import copy_photo, copy_suffix
from onelook.data.readers.labeled_photo import find_labeled_photo
from onelook.errors import DataError, PhotoError
from onelook.settings import ExtraFacesSettings
from onelook.untrusted import one_line
from onelook.workspace import workspace_path

BOX_COLUMNS = ("x1", "y1", "x2", "y2")
LANDMARK_COLUMNS = [
    f"{point}_{axis}" for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
]
COLUMNS = ("file", *BOX_COLUMNS, *LANDMARK_COLUMNS)
"""Columns of `faces.csv`."""
UNTURNED, SOURCE = "unturned", "source"
"""Optional columns."""


class FaceRow(NamedTuple):
    """A line of `faces.csv`.

    Attributes:
        file: of the crop, below `images`.
        face: in pixels of the crop.
        unturned: SET/FILE of the unturned crop; empty for a face that was not turned.
        source: photo of the crop; empty where the crop has its name.
    """

    file: str
    face: Face
    unturned: str = ""
    source: str = ""


def write_extra_faces(folder: Path, settings: ExtraFacesSettings) -> Iterator[Scene]:
    """Copy the crops of every set into the data folder, except those that are held out or were made of one.

    Args:
        folder: the data folder.
        settings: `path` holds the sets.

    Yields:
        One scene per crop, of the split "train" and the role "crop".

    Raises:
        DataError: a set, a file, a column or the unturned crop is missing, or a crop is damaged.
    """
    root = workspace_path(settings.path)
    csv_paths = sorted(root.glob("*/faces.csv"))
    if not csv_paths:
        raise DataError(
            f"{root}: contains no set (<set>/faces.csv); correct prepare.extra_faces.path, or leave it empty"
        )
    sets = {path: list(read_face_list(path)) for path in csv_paths}
    copies = {
        f"{path.parent.name}/{row.file}": _copy_name(path.parent.name, number, row.file)
        for path, rows in sets.items()
        for number, row in enumerate(rows)
        if not row.unturned
    }
    held_out = _find_held_out(sets, settings)
    for path, rows in sets.items():
        name = path.parent.name
        (folder / _copy_name(name, 0, "0.jpg")).parent.mkdir(parents=True)
        for number, row in enumerate(rows):
            if row.unturned in held_out or f"{name}/{row.file}" in held_out:
                continue
            if row.unturned and row.unturned not in copies:
                raise DataError(
                    f"{path}: {row.file} was made of {row.unturned}, which is not in {root}; add that set beside it, "
                    f"or remove {name}"
                )
            source = find_labeled_photo(path.parent / "images", row.file, path)
            if source is None:
                raise DataError(f"{path.parent / 'images' / row.file}: missing or damaged; remove its line from {path}")
            try:
                image = read_image(source)
            except PhotoError as error:
                raise DataError(f"{error}; or remove its line from {path}") from error
            copy = _copy_name(name, number, row.file)
            copy_photo(source, image, folder / copy)
            height, width = image.shape[:2]
            yield Scene(
                copy,
                width,
                height,
                "train",
                "crop",
                (row.face,),
                f"{name}, {row.file}",
                "research use",
                unturned=copies.get(row.unturned, ""),
            )


def _find_held_out(sets: Mapping[Path, Sequence[FaceRow]], settings: ExtraFacesSettings) -> set[str]:
    """Return SET/FILE of the crops that do not train.

    Raises:
        DataError: `held_out` names a set that is not there.
    """
    for name in settings.held_out.keys() - {path.parent.name for path in sets}:
        raise DataError(f"prepare.extra_faces.held_out: no set {name!r} in {settings.path}; correct or remove it")
    return {
        f"{path.parent.name}/{row.file}"
        for path, rows in sets.items()
        for row in rows
        if is_held_out(row.source or row.file, settings.held_out.get(path.parent.name, 0))
    }


def _copy_name(face_set: str, number: int, file: str) -> str:
    """Return the name in the data folder of a crop with a number in its set."""
    return f"images/train/{CROPS_PREFIX}{face_set}/{number:05d}{copy_suffix(file)}"


def read_face_list(path: Path) -> Iterator[FaceRow]:
    """Yield the lines of a set's `faces.csv`.

    Raises:
        DataError: a column is missing, or a line is damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                box = np.array([float(row[key]) for key in BOX_COLUMNS], np.float32)
                if not np.isfinite(box).all():
                    raise ValueError("a box that is not finite")
                landmarks = np.array([float(row[key]) for key in LANDMARK_COLUMNS], np.float32)
                yield FaceRow(
                    row["file"], Face(box, landmarks.reshape(5, 2)), row.get(UNTURNED) or "", row.get(SOURCE) or ""
                )
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: a line is damaged ({one_line(error)}); the columns are file, box and points"
        ) from error
