"""Erase a person from the groups of unknown faces that `group` wrote: crops, table and contact sheet."""

import csv
import io
import re
from collections.abc import Collection
from pathlib import Path

from onelook.data.image_io import encode_image, read_image
from onelook.erasure.finding import remove_file, replace_file
from onelook.erasure.journal_records import FaceKey
from onelook.errors import OnelookError
from onelook.media.contact_sheet import ContactSheet
from onelook.media.face_groups import COLUMNS, FOLDER_NAME
from onelook.names import escape_path

_ROW = re.compile(r"-(\d+)\.png$")
_CORNERS = ("x1", "y1", "x2", "y2")


def find_crops(folder: Path, rows: Collection[int]) -> list[Path]:
    """Find the face crops of rows of the embeddings in the groups of a run."""
    crops = sorted((folder / FOLDER_NAME).glob("*/*.png"))
    return [path for path in crops if (match := _ROW.search(path.name)) and int(match[1]) in rows]


def erase_groups(folder: Path, rows: Collection[int], faces: Collection[FaceKey]) -> None:
    """Erase faces from the groups of a run; the numbers of the groups stay.

    Args:
        folder: output folder of the run.
        rows: rows of the faces' embeddings.
        faces: the same faces as the table states them.

    Raises:
        OnelookError: a file cannot be changed.
    """
    for path in find_crops(folder, rows):
        remove_file(path)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    table = folder / "groups.csv"
    if not table.exists() or not faces:
        return
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
        erased = {(escape_path(Path(source)), frame, box) for source, frame, box in faces}
        kept = [line for line in lines if _key(line) not in erased]
    except (OSError, ValueError, KeyError) as error:
        raise OnelookError(f"{table}: damaged ({error}); remove it") from error
    if len(kept) == len(lines):
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(kept)
    replace_file(folder / "groups.png", _draw_sheet(folder, kept))
    replace_file(table, text.getvalue().encode())


def _key(line: dict[str, str]) -> tuple[str, int | None, tuple[float, ...]]:
    return line["source"], int(line["frame"]) if line["frame"] else None, tuple(float(line[each]) for each in _CORNERS)


def _draw_sheet(folder: Path, lines: list[dict[str, str]]) -> bytes:
    """Draw the contact sheet of the remaining faces; a crop that was moved away is left out."""
    groups = [int(line["group"]) - 1 for line in lines]
    sheet = ContactSheet([groups.count(group) for group in range(max(groups, default=-1) + 1)])
    for group, line in zip(groups, lines, strict=True):
        path = folder / line["picture"]
        if line["picture"] and path.is_file():
            sheet.add(group, read_image(path))
    return encode_image(sheet.draw(), ".png")
