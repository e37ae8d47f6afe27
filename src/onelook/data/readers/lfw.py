"""The reader of Labeled Faces in the Wild (Huang et al. 2007) with its official development split.

`peopleDevTrain.txt` and `peopleDevTest.txt` list a person and a number of photos a line, after a line with their count;
no person is in both. The photos are `images/<Name>/<Name>_0001.jpg` and so on.
"""

from pathlib import Path
from typing import Literal

from onelook.data.readers.identity_images import IdentityDataset, IdentityImage
from onelook.errors import DataError
from onelook.files import inside
from onelook.settings import LfwSettings

LICENSE = "Labeled Faces in the Wild; research use"
LISTS: dict[Literal["train", "test"], str] = {"train": "peopleDevTrain.txt", "test": "peopleDevTest.txt"}


def read_lfw(settings: LfwSettings) -> IdentityDataset:
    """Every photo of the official development people; `Reading.official` says which list each person is of.

    Raises:
        DataError: a list or a photo is missing, a line is damaged, or a person is in both lists.
    """
    root = Path(settings.path)
    portraits: list[IdentityImage] = []
    official: dict[str, Literal["train", "test"]] = {}
    for split, name in LISTS.items():
        for person, count in _people(root / name):
            if official.setdefault(person, split) != split:
                raise DataError(f"{root / name}: {person} is in both lists; nobody may be trained on and tested with")
            for number in range(1, count + 1):
                path = photo_path(root, person, number)
                if not path.is_file():
                    raise DataError(f"{path}: missing; prepare.lfw.path must hold all photos of {name}")
                portraits.append(IdentityImage(path, person, f"LFW, {path.name}", LICENSE))
    return IdentityDataset(tuple(portraits), official=official)


def photo_path(root: Path, person: str, number: int) -> Path:
    """Where a person's photo of a number (from 1) lies; never outside `root`."""
    return inside(root, f"images/{person}/{person}_{number:04d}.jpg")


def read_pairs(path: Path) -> list[tuple[tuple[str, int], tuple[str, int], bool]]:
    """The pairs of a `pairs*.txt`, in its order: person and photo number, person and photo number, whether the same.

    A line of three fields is a person and two photo numbers, one of four two people with a photo number each.

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
            raise DataError(f"{path}, line {number}: not a pair ({' '.join(fields)}); restore the file") from error
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
        return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read; prepare.lfw.path must hold LFW's official lists") from error
