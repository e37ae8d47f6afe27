"""The command `forget`: remove a person from a gallery, and from other files below directories."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import DEFAULT_GALLERY, NameArgument, WritableGalleryOption, YesOption, confirm, pluralize
from onelook.errors import OnelookError

if TYPE_CHECKING:
    from onelook.erasure.search import SearchResult
    from onelook.gallery.location import Location

logger = logging.getLogger(__name__)


def forget(
    name: NameArgument,
    directories: Annotated[
        list[Path] | None,
        typer.Argument(help="Directories to search, with --everywhere.", metavar="[DIR]...", show_default=False),
    ] = None,
    gallery: WritableGalleryOption = DEFAULT_GALLERY,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Search the directories for other galleries, backups, exports, copies in MLflow and results of "
            "identify-all and group, and remove the person there, too.",
        ),
    ] = False,
    yes: YesOption = False,
) -> None:
    """Remove a person and all their data from a gallery.

    Names the registered versions, backups and exports of the gallery that still hold the person.

    With --everywhere, also from what holds the person below the directories: the command lists it and asks first. What
    it cannot clean is listed with what to do.

    Exit code 1: something could not be searched or cleaned.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.names import normalize_name

    normalized = normalize_name(name)
    if everywhere and directories:
        _forget_everywhere(normalized, gallery, directories, yes)
        return
    if everywhere or directories:
        raise OnelookError(
            "--everywhere and the directories to search need each other: forget NAME --everywhere DIR..."
        )
    open_backend(gallery).forget(normalized)
    print(f"{normalized}: forgotten, nothing of it is left in {gallery}")
    _warn_of_remainders(gallery, normalized)


def _warn_of_remainders(location: "Location", name: str) -> None:
    from onelook.erasure.remainders import find_remainders
    from onelook.names import escape_unprintable

    for finding in find_remainders(location, name):
        line = f"{finding.path}: {finding.content}; {finding.advice}"
        logger.warning("still holds %s: %s", name, escape_unprintable(line))


def _forget_everywhere(name: str, location: "Location", directories: list[Path], yes: bool) -> None:
    from onelook.erasure.search import search_person
    from onelook.gallery.backend_factory import is_gallery, open_backend

    backend = open_backend(location) if is_gallery(location) else None
    data = None if backend is None else backend.read_data()
    is_enrolled = backend is not None and name in backend.people()
    if is_enrolled and data is not None and data.metadata.managed:
        raise OnelookError(f"{location}: the pipeline rebuilds this gallery; name a gallery of your own (--gallery)")
    found = search_person(name, directories, data, location if isinstance(location, Path) else None)
    _list_findings(found)
    places = [str(location)] if is_enrolled else []
    places += [str(finding.path) for finding in found.erasable]
    if not places:
        print(f"{name}: nothing found that can be removed")
    else:
        confirm(f"Remove {name} from {pluralize(len(places), 'place')}?", yes)
    failed = _erase(found)
    if failed:
        # The gallery identifies the person in the other places, so it must be the last.
        raise OnelookError(f"{name}: not removed from {pluralize(failed, 'place')}, nor from {location}; run it again")
    if is_enrolled and backend is not None:
        backend.forget(name)
    if places:
        print(f"{name}: removed from {', '.join(places)}")
    if found.others:
        raise typer.Exit(1)


def _list_findings(found: "SearchResult") -> None:
    from onelook.names import escape_path, escape_unprintable

    for finding in found.erasable:
        print(f"{escape_path(finding.path)}: {escape_unprintable(finding.content)}")
    for finding in found.others:
        line = f"{finding.path}: {finding.content}; {finding.advice}"
        logger.warning("left for you: %s", escape_unprintable(line))
    if found.links:
        logger.warning("%s not followed; name their targets, too", pluralize(found.links, "symbolic link"))


def _erase(found: "SearchResult") -> int:
    """Erase all findings and return the number of those that failed."""
    failed = 0
    for finding in found.erasable:
        try:
            assert finding.erase is not None
            finding.erase()
        except OnelookError as error:
            logger.error("%s", error)
            failed += 1
    return failed


COMMANDS: dict[str, Callable[..., None]] = {"forget": forget}
