"""Read the list of people and photos to enroll: a folder with a directory per person, or a CSV file."""

import csv
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from onelook.errors import GalleryError
from onelook.names import normalize_name

COLUMNS = ("name", "photo")


@dataclass(frozen=True)
class EnrollmentItem:
    """A photo and the name of the person it shows.

    Attributes:
        name: of the person, normalized; as it is in the list where it cannot be used.
        photo: path of the photo.
        problem: why the name cannot be used; empty otherwise.
    """

    name: str
    photo: Path
    problem: str = ""


def read_enrollment_list(source: str | Path) -> list[EnrollmentItem]:
    """Read the items of a folder, sorted by name, or of a CSV file, in the order of its lines.

    - Folder: each directory is a person and carries the name. Hidden files and files beside the directories are
      ignored.
    - CSV: UTF-8 with the columns `name` and `photo`, other columns are ignored. Paths are relative to the CSV file.
      Semicolons are accepted as separators, as some spreadsheets write them.

    Raises:
        GalleryError: the source is missing or empty, or has a line that cannot be read.
    """
    source = Path(source)
    try:
        items = _read_folder(source) if source.is_dir() else _read_csv(source)
    except OSError as error:
        raise GalleryError(f"{source}: cannot be read ({error.strerror or error})") from error
    if not items:
        raise GalleryError(f"{source}: names nobody; needed is a directory per person, or a line per photo")
    return items


def _read_folder(root: Path) -> list[EnrollmentItem]:
    return [
        _make_item(directory.name, photo, str(directory))
        for directory in _list_visible(root)
        if directory.is_dir()
        for photo in _list_visible(directory)
    ]


def _list_visible(folder: Path) -> list[Path]:
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(paths, key=lambda path: unicodedata.normalize("NFC", path.name))


def _read_csv(path: Path) -> list[EnrollmentItem]:
    items: list[EnrollmentItem] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            first = stream.readline()
            stream.seek(0)
            lines = csv.DictReader(stream, delimiter=";" if ";" in first and "," not in first else ",", strict=True)
            if not set(COLUMNS) <= set(lines.fieldnames or ()):
                raise GalleryError(f"{path}: its first line must name the columns {' and '.join(COLUMNS)}")
            for line in lines:
                where = f"{path} line {lines.line_num}"
                if not line["photo"] or "\0" in line["photo"]:
                    raise GalleryError(f"{where}: no photo; give its path from the folder of this file")
                items.append(_make_item(line["name"] or "", path.parent / line["photo"], where))
        except (csv.Error, UnicodeDecodeError) as error:
            raise GalleryError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from error
    return items


def _make_item(name: str, photo: Path, where: str) -> EnrollmentItem:
    try:
        return EnrollmentItem(normalize_name(name), photo)
    except GalleryError as error:
        return EnrollmentItem(name, photo, f"{where}: {error}")
