"""Who is in which photo, for enrolling many: a folder with a directory per person, or a CSV file."""

import csv
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from onelook.errors import GalleryError
from onelook.gallery.names import check_name

COLUMNS = ("name", "photo")


@dataclass(frozen=True)
class EnrollmentItem:
    """A photo and the name of the person it shows."""

    name: str
    photo: Path


def read_enrollment_list(source: str | Path) -> list[EnrollmentItem]:
    """The photos of a folder or a CSV file, in the order of names or of lines.

    In a folder each directory is a person and bears the name; hidden files, and files beside the directories, are
    ignored. A CSV file is UTF-8 and has the columns `name` and `photo`, other columns are ignored; photos are sought
    from the file's own folder, and semicolons may stand for commas, as some spreadsheets write them.

    Raises:
        GalleryError: it is missing, names nobody, or has a line or a name that cannot be used.
    """
    source = Path(source)
    try:
        people = _of_folder(source) if source.is_dir() else _of_csv(source)
    except OSError as error:
        raise GalleryError(f"{source}: cannot be read ({error.strerror or error})") from error
    if not people:
        raise GalleryError(f"{source}: names nobody; needed is a directory per person, or a line per photo")
    return people


def _of_folder(root: Path) -> list[EnrollmentItem]:
    return [
        EnrollmentItem(_checked(directory.name, str(directory)), photo)
        for directory in _visible(root)
        if directory.is_dir()
        for photo in _visible(directory)
    ]


def _visible(folder: Path) -> list[Path]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return sorted(entries, key=lambda entry: unicodedata.normalize("NFC", entry.name))


def _of_csv(path: Path) -> list[EnrollmentItem]:
    people: list[EnrollmentItem] = []
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
                people.append(EnrollmentItem(_checked(line["name"] or "", where), path.parent / line["photo"]))
        except (csv.Error, UnicodeDecodeError) as error:
            raise GalleryError(f"{path}: not a CSV file in UTF-8 ({error}); save it as one") from error
    return people


def _checked(name: str, where: str) -> str:
    try:
        return check_name(name)
    except GalleryError as error:
        raise GalleryError(f"{where}: {error}") from error
