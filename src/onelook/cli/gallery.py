"""The commands that fill, change and list a gallery."""

import logging
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import (
    DEFAULT_GALLERY,
    CalibrationOption,
    DeviceOption,
    GalleryOption,
    LargestOption,
    ModelOption,
    NameArgument,
    PhotosArgument,
    WritableGalleryOption,
    parse_face_choice,
    pluralize,
    print_rows,
    resolve_gallery,
)
from onelook.errors import OnelookError

if TYPE_CHECKING:
    from onelook.gallery.duplicates import DuplicatePair
    from onelook.gallery.gallery import Gallery
    from onelook.gallery.location import Location


logger = logging.getLogger(__name__)


def enroll(
    name: NameArgument,
    photos: PhotosArgument,
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
    model: ModelOption = None,
    calibration: CalibrationOption = None,
    device: DeviceOption = "auto",
    largest: LargestOption = False,
    face: Annotated[
        int | None,
        typer.Option("--face", metavar="N", help="Take face N of a photo, in the numbers of `onelook detect`."),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option("--box", metavar="X,Y,WIDTH,HEIGHT", help="Take the face in this box of a photo, in pixels."),
    ] = None,
) -> None:
    """Enroll a person with one or more photos.

    Each photo must show that person alone, or an option says which face is meant. If one photo cannot be used, none is
    enrolled.

    The first enrollment creates the gallery, with the released weights unless --model names another model.
    """
    choice = parse_face_choice(largest, face, box)
    if len(photos) > 1 and choice not in (None, "largest"):
        raise OnelookError("--face and --box choose a face of one photo; name one photo")
    enrollment = _open_or_create(gallery, model, calibration, device).enroll(name, photos, face=choice)
    _warn_of_quality(enrollment.warnings)
    added = pluralize(enrollment.added, "photo")
    print(f"{enrollment.name}: {added} enrolled, {enrollment.total} in all, in {gallery}")
    if enrollment.already_enrolled:
        skipped = pluralize(enrollment.already_enrolled, "photo")
        logger.warning("%s: %s left out, enrolled before", enrollment.name, skipped)
    _warn_of_duplicates(enrollment.duplicates)


def enroll_all(
    people: Annotated[
        Path,
        typer.Argument(
            help="Folder with one directory per person, or CSV file with the columns name and photo.",
            metavar="PEOPLE",
            show_default=False,
        ),
    ],
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
    model: ModelOption = None,
    calibration: CalibrationOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=0, help="Number of Ray worker processes that embed the photos; 0: embed in this process."
        ),
    ] = 0,
) -> None:
    """Enroll many people from a folder or a CSV file.

    Photos that cannot be used are left out and reported. The gallery is saved at intervals. If the command is
    interrupted, run it again: enrolled photos are skipped.

    Exit code 1: at least one photo was left out.
    """
    from onelook.gallery.enrollment_list import read_enrollment_list
    from onelook.progress import track

    items = read_enrollment_list(people)
    report = _open_or_create(gallery, model, calibration, device).enroll_all(
        track(items, "photos") if sys.stderr.isatty() and not workers else items, workers=workers
    )
    _warn_of_quality(report.warnings)
    for photo in report.skipped:
        logger.warning("left out: %s: %s", photo.name, photo.reason)
    for name in report.missing_people:
        logger.warning("missing: %s: no photo is enrolled", name)
    for name, other in report.similar_names:
        _warn_of_similar_names(name, other, report.missing_people)
    _warn_of_duplicates(report.duplicates)
    print(
        f"{gallery}: {pluralize(report.added, 'photo')} enrolled, {report.already_enrolled} enrolled before, "
        f"{len(report.skipped)} left out"
    )
    if report.skipped:
        raise typer.Exit(1)


def list_people(
    gallery: GalleryOption = None,
    show_photos: Annotated[bool, typer.Option("--photos", help="List the photos of each person, too.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Verify the whole gallery instead, and list what killed commands left of it."),
    ] = False,
) -> None:
    """List the enrolled people and the number of their photos.

    Exit code 1, with --check: something is damaged, left over, or open to other users.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.names import escape_unprintable

    location = resolve_gallery(gallery)
    if check:
        _check(location)
        return
    backend = open_backend(location)
    columns: tuple[str, ...] = ("name", "photos")
    rows: list[tuple[str, ...]]
    if show_photos:
        columns = (*columns, "from")
        rows = [
            (name, str(len(faces)), ", ".join(escape_unprintable(face.photo) for face in faces))
            for name, faces in backend.faces_by_person().items()
        ]
    else:
        rows = [(name, str(count)) for name, count in backend.people().items()]
    metadata = backend.metadata
    title = (
        f"{location}: {pluralize(len(rows), 'person', 'people')}, "
        f"threshold {metadata.typical_threshold(len(rows)):.3f} "
        f"(false-positive identification rate {metadata.target_fpir:.2g}), "
        f"{backend.describe_search()}, model {metadata.fingerprint[:12]}"
    )
    print_rows(title, columns, rows)


def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(help="New name.", metavar="NEW", show_default=False)],
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
) -> None:
    """Rename a person."""
    from onelook.gallery.backend_factory import open_backend
    from onelook.names import normalize_name

    old_name, new_name = normalize_name(name), normalize_name(new)
    open_backend(gallery).rename(old_name, new_name)
    print(f"{old_name}: now {new_name} in {gallery}")


def merge(
    name: NameArgument,
    into: Annotated[
        str, typer.Argument(help="Other name of the same person, which is kept.", metavar="INTO", show_default=False)
    ],
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
) -> None:
    """Merge two names of one person: move NAME's photos to INTO."""
    from onelook.gallery.backend_factory import open_backend
    from onelook.names import normalize_name

    source, target = normalize_name(name), normalize_name(into)
    backend = open_backend(gallery)
    backend.merge(source, target)
    total = pluralize(backend.photo_counts([target])[target], "photo")
    print(f"{source}: now {target}, {total} in all, in {gallery}")


def remove(
    name: NameArgument,
    photo: Annotated[
        Path, typer.Argument(help="Photo to remove: path or file name.", metavar="PHOTO", show_default=False)
    ],
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
) -> None:
    """Remove one photo of a person, such as one that shows somebody else.

    The person's other photos stay. `onelook gallery --photos` lists them.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.photo_removal import remove_photo
    from onelook.names import normalize_name

    normalized = normalize_name(name)
    backend = open_backend(gallery)
    removed = remove_photo(backend, normalized, photo)
    rest = pluralize(backend.photo_counts([normalized])[normalized], "photo")
    print(f"{normalized}: {pluralize(removed, 'photo')} removed, {rest} left, in {gallery}")


def upgrade(gallery: WritableGalleryOption = DEFAULT_GALLERY) -> None:
    """Convert a gallery of an earlier version to the present format.

    Any other change of such a gallery does this, too. Earlier versions of onelook cannot read it afterwards.
    """
    from onelook.gallery.storage import upgrade as upgrade_folder

    if not upgrade_folder(_require_folder(gallery)):
        print(f"{gallery}: has the present format")


def _require_folder(location: "Location") -> Path:
    if not isinstance(location, Path):
        raise OnelookError(f"{location}: is in Milvus; this command is for galleries in folders")
    return location


COMMANDS: dict[str, Callable[..., None]] = {
    "enroll": enroll,
    "enroll-all": enroll_all,
    "gallery": list_people,
    "rename": rename,
    "merge": merge,
    "remove": remove,
    "upgrade": upgrade,
}


def _check(location: "Location") -> None:
    from onelook.erasure.remainders import find_leftovers
    from onelook.gallery.checking import check_gallery
    from onelook.names import escape_path

    folder = _require_folder(location)
    problems = check_gallery(folder)
    problems += [
        f"{escape_path(path)}: left by a killed command; remove it, or run that command again"
        for path in find_leftovers(folder)
    ]
    for problem in problems:
        logger.warning("%s", problem)
    if problems:
        raise typer.Exit(1)
    print(f"{location}: no problem found")


def _open_or_create(location: "Location", model: Path | None, calibration: Path | None, device: str) -> "Gallery":
    from onelook.gallery.backend_factory import is_gallery
    from onelook.gallery.gallery import create_gallery, open_gallery

    if is_gallery(location):
        return open_gallery(location, model=model, device=device)
    return create_gallery(location, model=model, calibration=calibration, device=device)


def _warn_of_quality(warnings: "Iterable[str]") -> None:
    for warning in warnings:
        logger.warning("%s: this face is hard to recognize; add a better photo", warning)


def _warn_of_similar_names(name: str, other: str, missing_people: "Iterable[str]") -> None:
    """Suggest to rename the enrolled one of two similar names, or to merge two enrolled ones."""
    if name in missing_people:
        command = shlex.join(["onelook", "rename", other, name])
    else:
        command = shlex.join(["onelook", "merge", name, other])
    logger.warning("similar names: %s and %s; if they are one person, run `%s`", name, other, command)


def _warn_of_duplicates(pairs: "Iterable[DuplicatePair]") -> None:
    for pair in pairs:
        logger.warning(
            "possible duplicate: %s and %s, similarity %.3f; if they are one person, join them with `onelook merge`",
            pair.name,
            pair.other,
            pair.similarity,
        )
