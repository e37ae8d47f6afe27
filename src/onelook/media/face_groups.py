"""Export of clustered unknown faces: one folder of face crops per group, ready for `onelook enroll-all`."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from onelook.data.image_io import write_image
from onelook.errors import OnelookError
from onelook.files import atomic_file, atomic_folder, shorten_stem
from onelook.gallery.clustering import cluster_faces
from onelook.gallery.data import GalleryMetadata
from onelook.media.contact_sheet import ContactSheet
from onelook.media.embeddings_file import read_embeddings
from onelook.media.journal import read_records
from onelook.media.unknown_faces import CropResult, UnknownFace, crop_faces, iter_unknown_faces
from onelook.names import escape_path, escape_unprintable

FOLDER_NAME = "groups"
COLUMNS = ("group", "source", "frame", "x1", "y1", "x2", "y2", "size", "sharpness", "picture")
# More photos hardly improve a template, and a person has to look through them.
MAX_CROPS_PER_GROUP = 16


@dataclass(frozen=True)
class GroupingReport:
    """Counts of a grouping run.

    Attributes:
        groups: number of groups written.
        faces: number of faces in these groups.
        faces_in_small_groups: number of faces in groups below the minimum size.
        low_quality_faces: number of faces too uncertain, small or blurred to be clustered.
        errors: one line for each file whose faces could not be cropped.
    """

    groups: int
    faces: int
    faces_in_small_groups: int
    low_quality_faces: int
    errors: tuple[str, ...]


def write_groups(
    out: Path,
    metadata: GalleryMetadata,
    min_faces: int,
    track_progress: Callable[[Iterable[CropResult], int], Iterable[CropResult]] = lambda crops, total: crops,
) -> GroupingReport:
    """Cluster the unknown faces of a run and write the groups, largest first.

    Written are the face crops OUT/groups/001/*.png, the table OUT/groups.csv and the contact sheet OUT/groups.png.

    Args:
        out: output folder of the run.
        metadata: metadata of the gallery that the run was made with.
        min_faces: smallest number of faces of a group.
        track_progress: wrapper around the iterable of face crops, called with the iterable and its length.

    Raises:
        OnelookError: the run is unfinished or of another model, or its groups exist already.
    """
    if (out / FOLDER_NAME).exists():
        raise OnelookError(f"{out / FOLDER_NAME}: is there already; move or remove it, it may hold people you named")
    faces = list(iter_unknown_faces(read_records(out)))
    usable = [face for face in faces if face.is_usable(metadata.unusable)]
    embeddings = read_embeddings(out, metadata.fingerprint)[[face.row for face in usable]]
    labels = cluster_faces(embeddings, np.asarray([face.quality.weight for face in usable]), metadata)
    groups = _sort_groups(usable, labels, min_faces)
    errors = _write_crops(out, groups, track_progress)
    grouped = sum(map(len, groups))
    return GroupingReport(len(groups), grouped, len(usable) - grouped, len(faces) - len(usable), tuple(errors))


def _sort_groups(faces: list[UnknownFace], labels: np.ndarray, min_faces: int) -> list[list[UnknownFace]]:
    """Collect the groups of at least `min_faces`, largest first, the best faces of each first."""
    order = np.argsort(labels, kind="stable")
    groups = [[faces[i] for i in indices] for _, indices in groupby(order, key=lambda i: int(labels[i]))]
    large = [sorted(group, key=lambda face: -face.quality.weight) for group in groups if len(group) >= min_faces]
    return sorted(large, key=lambda group: -len(group))


def _write_crops(
    out: Path,
    groups: list[list[UnknownFace]],
    track_progress: Callable[[Iterable[CropResult], int], Iterable[CropResult]],
) -> list[str]:
    """Write the crops, the table and the contact sheet, and return the errors."""
    group_of_row = {face.row: number for number, group in enumerate(groups, 1) for face in group[:MAX_CROPS_PER_GROUP]}
    exported = [face for group in groups for face in group[:MAX_CROPS_PER_GROUP]]
    sheet = ContactSheet([len(group) for group in groups])
    errors: list[str] = []
    with atomic_folder(out / FOLDER_NAME) as folder:
        for face, crop in track_progress(crop_faces(exported), len(exported)):
            if isinstance(crop, OnelookError):
                errors.append(str(crop))
            else:
                write_image(folder / _crop_path(group_of_row[face.row], face), crop)
                sheet.add(group_of_row[face.row] - 1, crop)
        _write_table(out / "groups.csv", groups)
        write_image(out / "groups.png", sheet.draw())
    return errors


def _crop_path(group: int, face: UnknownFace) -> Path:
    return Path(f"{group:03d}") / f"{shorten_stem(escape_unprintable(face.source.stem))}-{face.row}.png"


def _write_table(path: Path, groups: list[list[UnknownFace]]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for number, group in enumerate(groups, start=1):
            for rank, face in enumerate(group):
                crop = (Path(FOLDER_NAME) / _crop_path(number, face)).as_posix() if rank < MAX_CROPS_PER_GROUP else ""
                frame = "" if face.frame is None else face.frame
                quality = (face.quality.size, face.quality.sharpness)
                table.writerow((f"{number:03d}", escape_path(face.source), frame, *face.box, *quality, crop))
