"""Reader of Labeled Faces in the Wild (Huang et al. 2007).

The official development split is in `peopleDevTrain.txt` and `peopleDevTest.txt`: a line with the number of
people, then a line per person with the name and the number of photos. No person is in both. The photos are
`images/<Name>/<Name>_0001.jpg` and so on.
"""

from pathlib import Path
from typing import Literal

from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError
from onelook.files import resolve_inside
from onelook.settings import LfwSettings
from onelook.untrusted import printable, read_limited
from onelook.workspace import workspace_path

LICENSE = "Labeled Faces in the Wild; research use"
SPLIT_FILES: dict[Literal["train", "test"], str] = {"train": "peopleDevTrain.txt", "test": "peopleDevTest.txt"}


def read_lfw(settings: LfwSettings) -> IdentityDataset:
    """Read every photo of the official development split.

    Raises:
        DataError: a list or a photo is missing, a line is damaged, or a person is in both lists.
    """
    root = workspace_path(settings.path)
    images: list[IdentityImage] = []
    official_splits: dict[str, Literal["train", "test"]] = {}
    for split, name in SPLIT_FILES.items():
        for person, count in _people(root / name):
            if official_splits.setdefault(person, split) != split:
                raise DataError(
                    f"{root / name}: {person} is in both lists; no person may be in the training and the test split"
                )
            for number in range(1, count + 1):
                path = photo_path(root, person, number)
                if not path.is_file():
                    raise DataError(f"{path}: missing; prepare.lfw.path must hold all photos of {name}")
                images.append(IdentityImage(path, person, f"LFW, {path.name}", LICENSE))
    return IdentityDataset(tuple(images), official_splits=official_splits)


def photo_path(root: Path, person: str, number: int) -> Path:
    """Return the path of a person's photo, numbered from 1, inside `root`."""
    return resolve_inside(root, f"images/{person}/{person}_{number:04d}.jpg")


def read_pairs(path: Path) -> list[tuple[tuple[str, int], tuple[str, int], bool]]:
    """Read the verification pairs of a `pairs*.txt` file, in its order.

    A genuine pair is a line of three fields: a person and two photo numbers. An impostor pair is a line of four fields:
    a person and a photo number, twice.

    Returns:
        (person, photo number), (person, photo number) and whether both are the same person, for each pair.

    Raises:
        DataError: the file is missing or a line is damaged.
    """
    pairs = []
    for number, fields in enumerate(_lines(path)[1:], start=2):
        try:
            if len(fields) == 3:
                pairs.append(((fields[0], int(fields[1])), (fields[0], int(fields[2])), True))
            else:
                first, i, second, j = fields
                pairs.append(((first, int(i)), (second, int(j)), False))
        except ValueError as error:
            shown = printable(" ".join(fields))
            raise DataError(f"{path}, line {number}: not a pair ({shown}); restore the file") from error
    return pairs


def _people(path: Path) -> list[tuple[str, int]]:
    people = []
    for number, fields in enumerate(_lines(path)[1:], start=2):
        try:
            name, count = fields
            people.append((name, int(count)))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: not a person and a number of photos; restore the file") from error
    return people


def _lines(path: Path) -> list[list[str]]:
    try:
        text = read_limited(path).decode("utf-8")
        if "\0" in text:  # no file can have such a name
            raise ValueError("a null character")
        return [line.split() for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read; prepare.lfw.path must hold LFW's official lists") from error
