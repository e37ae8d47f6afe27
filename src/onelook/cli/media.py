"""The commands for folders and videos: everybody in them, and who the unknown ones are."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import ReadGallery, ReadModel, count, opened, reading

if TYPE_CHECKING:
    from rich.progress import Progress


def identify_all(
    sources: Annotated[
        list[Path], typer.Argument(help="folders, photos and videos", metavar="SOURCE", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="a new folder, or that of a run to go on with")],
    gallery: ReadGallery = None,
    model: ReadModel = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="write the photos and videos with the faces drawn in")
    ] = False,
    every: Annotated[int, typer.Option("--every", min=1, help="look at every so many frames of a video")] = 1,
) -> None:
    """Say who is in all photos and videos of folders, as JSON lines and as a table; goes on where it broke off.

    In videos the faces of one appearance are linked, and named once. If it breaks off, run it again: what was looked at
    already takes no time; a video begins anew. Exit code 1: a photo or video could not be read, or shows no face.
    """
    from onelook.gallery.names import one_line
    from onelook.media.discovery import Source, find_sources
    from onelook.media.identify_all import identify_all

    looking = opened(gallery, model)
    with _progress() as progress:
        bar = progress.add_task("photos and videos", total=sum(1 for _ in find_sources(sources, out)))

        film = progress.add_task("frames", visible=False)

        def told(_: Source, error: str | None) -> None:
            progress.advance(bar)
            if error is not None:
                print(f"left out: {one_line(error)}", file=sys.stderr)

        def watched(read: int, of: int) -> None:
            progress.update(film, completed=read, total=of, visible=read < of)

        chosen = find_sources(sources, out)
        totals = identify_all(looking, chosen, out, every=every, pictures=pictures, told=told, watched=watched)
    print(
        f"{out}: {count(totals['photos'], 'photo')}, {count(totals['videos'], 'video')}; "
        f"{totals['named']} named, {totals['unknown']} unknown (a track of a video is one); {totals['failed']} left out"
    )
    if totals["failed"]:
        raise typer.Exit(1)


def group(
    out: Annotated[
        Path, typer.Argument(help="the folder of an `identify-all` that has ended", metavar="OUT", show_default=False)
    ],
    gallery: ReadGallery = None,
    least: Annotated[int, typer.Option("--least", min=1, help="faces that a group must have")] = 2,
) -> None:
    """Group the unknown faces of `identify-all` by who they are: OUT/groups/001, 002, … with pictures to name.

    Move the groups you know into a folder, each under the person's name, and give that folder to `onelook enroll-all`.
    """
    from onelook.gallery.backend_factory import open_backend
    from onelook.media.face_groups import write_groups

    with _progress() as progress:
        terms = open_backend(reading(gallery)).terms
        done = write_groups(out, terms, least, lambda cuts, total: progress.track(cuts, total, description="pictures"))
    for problem in done.problems:
        print(f"left out: {problem}", file=sys.stderr)
    print(
        f"{out}: {count(done.groups, 'group')} of {count(done.faces, 'face')}; {done.alone} in groups of fewer than "
        f"{least}, {done.poor} too unclear, small or blurred"
    )
    if done.problems:
        raise typer.Exit(1)


def _progress() -> "Progress":
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)


COMMANDS: dict[str, Callable[..., None]] = {"identify-all": identify_all, "group": group}
