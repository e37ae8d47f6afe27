"""The commands that fill, change, copy and list a gallery."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import (
    OWN_GALLERY,
    Calibration,
    ChangedGallery,
    ModelFolder,
    Name,
    Photos,
    ReadGallery,
    count,
    print_rows,
    reading,
)

if TYPE_CHECKING:
    from onelook.gallery.data import GalleryData
    from onelook.gallery.duplicates import DuplicatePair
    from onelook.gallery.gallery import Gallery
    from onelook.gallery.location import Location


def enroll(
    name: Name,
    photos: Photos,
    gallery: ChangedGallery = OWN_GALLERY,
    model: ModelFolder = None,
    calibration: Calibration = None,
) -> None:
    """Enroll a person with photos that show that person alone: all of them, or none if one cannot be used.

    The first enrollment starts the gallery, with the released weights unless --model names another model.
    """
    done = _opened(gallery, model, calibration).enroll(name, photos)
    print(f"{done.name}: {count(done.added, 'photo')} enrolled, {done.total} in all, in {gallery}")
    if done.known:
        print(f"{done.name}: {count(done.known, 'photo')} left out, enrolled before", file=sys.stderr)
    _point_out(done.alike)


def enroll_all(
    people: Annotated[
        Path,
        typer.Argument(
            help="a folder with a directory per person, or a CSV file with the columns name and photo",
            metavar="PEOPLE",
            show_default=False,
        ),
    ],
    gallery: ChangedGallery = OWN_GALLERY,
    model: ModelFolder = None,
    calibration: Calibration = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="processes that look at the photos, through Ray; 0: this one does")
    ] = 0,
) -> None:
    """Enroll many people; photos that cannot be used are left out and told.

    It saves as it goes. If it breaks off, run it again: photos that are enrolled already are known and take no time.
    Exit code 1: a photo was left out.
    """
    from onelook.gallery.enrollment_list import read_enrollment_list
    from onelook.progress import track

    named = read_enrollment_list(people)
    report = _opened(gallery, model, calibration).enroll_all(
        track(named, "photos") if sys.stderr.isatty() and not workers else named, workers=workers
    )
    for photo in report.left_out:
        print(f"left out: {photo.name}: {photo.why}", file=sys.stderr)
    for name in report.missing:
        print(f"missing: {name}: no photo is enrolled", file=sys.stderr)
    _point_out(report.alike)
    print(
        f"{gallery}: {count(report.added, 'photo')} enrolled, {report.known} enrolled before, "
        f"{len(report.left_out)} left out"
    )
    if report.left_out:
        raise typer.Exit(1)


def list_people(gallery: ReadGallery = None) -> None:
    """List who is enrolled, and with which photos."""
    from onelook.gallery.backend_factory import open_backend

    place = reading(gallery)
    engine = open_backend(place)
    rows = [(name, str(len(rows)), ", ".join(row.photo for row in rows)) for name, rows in engine.entries().items()]
    terms = engine.terms
    title = (
        f"{place}: {count(len(rows), 'person', 'people')}, threshold {terms.threshold_for(len(rows)):.3f} "
        f"(false-positive identification rate {terms.target_fpir:.2g}), model {terms.fingerprint[:12]}"
    )
    print_rows(title, ("name", "photos", "from"), rows)


def rename(
    name: Name,
    new: Annotated[str, typer.Argument(help="the new name", metavar="NEW", show_default=False)],
    gallery: ChangedGallery = OWN_GALLERY,
) -> None:
    """Give a person another name."""
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.names import check_name

    old, kept = check_name(name), check_name(new)
    open_backend(gallery).rename(old, kept)
    print(f"{old}: now {kept} in {gallery}")


def merge(
    name: Name,
    into: Annotated[str, typer.Argument(help="who it is too", metavar="INTO", show_default=False)],
    gallery: ChangedGallery = OWN_GALLERY,
) -> None:
    """Make two people one: the photos of NAME go to INTO."""
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.names import check_name

    one, other = check_name(name), check_name(into)
    engine = open_backend(gallery)
    engine.merge(one, other)
    print(f"{one}: now {other}, {count(engine.known([other])[other], 'photo')} in all, in {gallery}")


def forget(name: Name, gallery: ChangedGallery = OWN_GALLERY) -> None:
    """Remove a person, and every trace of that person, from a gallery; not from backups and exports of it."""
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.names import check_name

    kept = check_name(name)
    open_backend(gallery).forget(kept)
    print(f"{kept}: forgotten, nothing of it is left in {gallery}")


def export(
    folder: Annotated[Path, typer.Argument(help="a new folder", metavar="FOLDER", show_default=False)],
    gallery: ReadGallery = None,
) -> None:
    """Write who is enrolled, with which photos, as faces.csv, and the embeddings as embeddings.safetensors."""
    from onelook.gallery import export as writer
    from onelook.gallery.backend_factory import open_backend

    contents = open_backend(reading(gallery)).contents()
    writer.export(folder, contents)
    print(f"{folder}: {_size(contents)}")


def backup(
    file: Annotated[Path, typer.Argument(help="a new file", metavar="FILE", show_default=False)],
    gallery: ReadGallery = None,
) -> None:
    """Write a gallery into one file; who is forgotten later stays in it."""
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.backup import write_backup

    contents = open_backend(reading(gallery)).contents()
    write_backup(file, contents)
    print(f"{file}: {_size(contents)}")


def restore(
    file: Annotated[Path, typer.Argument(help="a backup", metavar="FILE", show_default=False)],
    gallery: ChangedGallery = OWN_GALLERY,
) -> None:
    """Put back what a backup holds, in the place of what the gallery holds now, damaged or not."""
    from onelook.gallery.backend_factory import restore_gallery
    from onelook.gallery.backup import read_backup

    contents = read_backup(file)
    restore_gallery(gallery, contents)
    print(f"{gallery}: {_size(contents)}")


COMMANDS: dict[str, Callable[..., None]] = {
    "enroll": enroll,
    "enroll-all": enroll_all,
    "gallery": list_people,
    "rename": rename,
    "merge": merge,
    "forget": forget,
    "export": export,
    "backup": backup,
    "restore": restore,
}


def _opened(place: "Location", model: Path | None, calibration: Path | None) -> "Gallery":
    from onelook.gallery.backend_factory import is_gallery
    from onelook.gallery.gallery import create_gallery, open_gallery

    if is_gallery(place):
        return open_gallery(place, model=model)
    return create_gallery(place, model=model, calibration=calibration)


def _point_out(alike: "Iterable[DuplicatePair]") -> None:
    for pair in alike:
        print(
            f"alike: {pair.name} and {pair.other}, similarity {pair.similarity:.3f}; if they are one person, "
            f"`onelook merge` makes them one",
            file=sys.stderr,
        )


def _size(contents: "GalleryData") -> str:
    return f"{count(len(contents.people()), 'person', 'people')}, {count(len(contents.entries), 'photo')}"
