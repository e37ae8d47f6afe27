"""The commands `backup`, `restore` and `export`: copies of a gallery in files."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import (
    DEFAULT_GALLERY,
    GalleryOption,
    WritableGalleryOption,
    YesOption,
    confirm,
    pluralize,
    resolve_gallery,
)
from onelook.errors import GalleryError

if TYPE_CHECKING:
    from onelook.gallery.data import GalleryData
    from onelook.gallery.location import Location

logger = logging.getLogger(__name__)


def export(
    folder: Annotated[Path, typer.Argument(help="New folder.", metavar="FOLDER", show_default=False)],
    gallery: GalleryOption = None,
) -> None:
    """Export a gallery as a CSV table and embeddings.

    Writes faces.csv with people and photos, and embeddings.safetensors with one row per photo.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.copies import record_copy
    from onelook.gallery.export import export_gallery

    location = resolve_gallery(gallery)
    data = open_backend(location).read_data()
    record_copy(location, "export", folder)
    export_gallery(folder, data)
    print(f"{folder}: {_format_size(data)}")


def backup(
    file: Annotated[Path, typer.Argument(help="New backup file.", metavar="FILE", show_default=False)],
    gallery: GalleryOption = None,
) -> None:
    """Back up a gallery to one file.

    People who are forgotten later remain in the backup: `onelook forget` names it, and `onelook forget --everywhere`
    removes them from it.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.gallery.backup import write_backup
    from onelook.gallery.copies import record_copy

    location = resolve_gallery(gallery)
    data = open_backend(location).read_data()
    record_copy(location, "backup", file)
    write_backup(file, data)
    print(f"{file}: {_format_size(data)}")


def restore(
    file: Annotated[Path, typer.Argument(help="Backup file.", metavar="FILE", show_default=False)],
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
    yes: YesOption = False,
    with_forgotten: Annotated[
        bool, typer.Option("--with-forgotten", help="Bring back the people who were forgotten since the backup, too.")
    ] = False,
) -> None:
    """Replace a gallery, damaged or not, by a backup.

    Asks before it replaces a gallery, and keeps the old one beside the new one. People who were forgotten since the
    backup are named and left out.
    """
    from onelook.gallery.backend_factory import is_gallery, restore_gallery
    from onelook.gallery.backup import read_backup

    data = read_backup(file)
    exists = is_gallery(gallery)
    if exists:
        _announce(gallery, data, with_forgotten)
        confirm(f"Replace {gallery} by {_format_size(data)} of {file}? The old gallery is kept.", yes)
    restored = restore_gallery(gallery, data, with_forgotten=with_forgotten)
    print(f"{gallery}: {_format_size(restored.data)}")
    for each in restored.left_out:
        print(f"left out: {each}")
    if restored.kept is not None:
        print(f"the old gallery is in {restored.kept}; remove it when you need it no more")
    elif exists:
        logger.warning("%s: the old gallery could not be read and was not kept", gallery)


def _announce(location: "Location", data: "GalleryData", with_forgotten: bool) -> None:
    """Check that a gallery can be replaced, and name the people of the backup who were forgotten."""
    from onelook.gallery.backend_factory import read_forgotten
    from onelook.gallery.restoring import find_forgotten
    from onelook.gallery.storage import check_restorable

    if not isinstance(location, Path):
        logger.warning("%s: Milvus keeps no record of who was forgotten; check whom the backup brings back", location)
        return
    check_restorable(location)
    try:
        record = read_forgotten(location)
    except GalleryError:
        logger.warning("%s: its record of who was forgotten is damaged; check whom the backup brings back", location)
        return
    for each in find_forgotten(data, record):
        logger.warning(
            "%s; %s", each, "comes back (--with-forgotten)" if with_forgotten else "left out without --with-forgotten"
        )


def _format_size(data: "GalleryData") -> str:
    return f"{pluralize(len(data.faces_by_person()), 'person', 'people')}, {pluralize(len(data.faces), 'photo')}"


COMMANDS: dict[str, Callable[..., None]] = {"backup": backup, "restore": restore, "export": export}
