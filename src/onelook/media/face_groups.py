"""Groups of unknown faces as folders to name: `groups/001`, `groups/002`, … are what `onelook enroll-all` reads."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from onelook.data.image_io import write_image
from onelook.errors import OnelookError
from onelook.files import replacing, replacing_folder
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.names import one_line, photo_name
from onelook.media.clustering import group_faces
from onelook.media.contact_sheet import GroupSheet
from onelook.media.embeddings_file import read_embeddings
from onelook.media.journal import current_lines
from onelook.media.unknown_faces import Cut, UnknownFace, cut_out, unknown_faces

FOLDER = "groups"
COLUMNS = ("group", "source", "frame", "x1", "y1", "x2", "y2", "size", "sharpness", "picture")
# Of more photos a template is hardly better, and nobody looks through them.
MOST_PICTURES = 16


@dataclass(frozen=True)
class Grouped:
    """What grouping did.

    Attributes:
        groups: how many were written.
        faces: how many faces they have.
        alone: faces in groups that are too small.
        poor: faces too unclear, small or blurred to be told apart.
        problems: pictures that could not be cut out, a line each.
    """

    groups: int
    faces: int
    alone: int
    poor: int
    problems: tuple[str, ...]


def write_groups(
    out: Path,
    terms: GalleryMetadata,
    least: int,
    shown: Callable[[Iterable[Cut], int], Iterable[Cut]] = lambda cuts, total: cuts,
) -> Grouped:
    """Group the unknown faces of a run: OUT/groups/001/*.png, OUT/groups.csv and OUT/groups.png, the largest first.

    Args:
        out: of the run.
        terms: of the gallery it was made with.
        least: faces that a group must have.
        shown: hands on the faces that are cut out, and is told how many they are, for a bar.

    Raises:
        OnelookError: the run has not ended or was another model's, or its groups are there already.
    """
    if (out / FOLDER).exists():
        raise OnelookError(f"{out / FOLDER}: is there already; move or remove it, it may hold people you named")
    every = list(unknown_faces(current_lines(out)))
    usable = [face for face in every if face.usable]
    rows = read_embeddings(out, terms.fingerprint)[[face.row for face in usable]]
    numbers = group_faces(rows, np.asarray([face.quality.weight for face in usable]), terms)
    groups = _sorted_groups(usable, numbers, least)
    pictures = {face.row: number for number, some in enumerate(groups, 1) for face in some[:MOST_PICTURES]}
    sheet = GroupSheet([len(some) for some in groups])
    problems: list[str] = []
    with replacing_folder(out / FOLDER) as folder:
        chosen = [face for some in groups for face in some[:MOST_PICTURES]]
        for face, picture in shown(cut_out(chosen), len(chosen)):
            if isinstance(picture, OnelookError):
                problems.append(str(picture))
            else:
                write_image(folder / _picture(pictures[face.row], face), picture)
                sheet.add(pictures[face.row] - 1, picture)
        _write_table(out / "groups.csv", groups)
        write_image(out / "groups.png", sheet.draw())
    together = sum(map(len, groups))
    return Grouped(len(groups), together, len(usable) - together, len(every) - len(usable), tuple(problems))


def _sorted_groups(faces: list[UnknownFace], numbers: np.ndarray, least: int) -> list[list[UnknownFace]]:
    """The groups that are large enough, the largest first, in each the best faces first."""
    order = np.argsort(numbers, kind="stable")
    groups = [[faces[i] for i in places] for _, places in groupby(order, key=lambda i: int(numbers[i]))]
    kept = [sorted(some, key=lambda face: -face.quality.weight) for some in groups if len(some) >= least]
    return sorted(kept, key=lambda some: -len(some))


def _picture(group: int, face: UnknownFace) -> Path:
    return Path(f"{group:03d}") / f"{one_line(face.source.stem)}-{face.row}.png"


def _write_table(path: Path, groups: list[list[UnknownFace]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for number, some in enumerate(groups, start=1):
            for place, face in enumerate(some):
                picture = (Path(FOLDER) / _picture(number, face)).as_posix() if place < MOST_PICTURES else ""
                frame = "" if face.frame is None else face.frame
                measured = (face.quality.size, face.quality.sharpness)
                table.writerow((f"{number:03d}", photo_name(face.source), frame, *face.box, *measured, picture))
