"""The command that copies a gallery to another place: a folder, or Milvus."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from onelook.cli.common import count
from onelook.gallery.location import FORMS, parse_location


def copy(
    source: Annotated[
        Any,
        typer.Argument(
            parser=parse_location, metavar="FROM", help="the gallery's folder or address", show_default=False
        ),
    ],
    target: Annotated[
        Any,
        typer.Argument(parser=parse_location, metavar="TO", help=f"a new folder, or {FORMS}", show_default=False),
    ],
) -> None:
    """Copy a gallery to another place, a folder or Milvus, with every photo, measure and term.

    The new one is there whole or not at all: if it breaks off, run it again.
    """
    from onelook.gallery.backend_factory import open_backend, write_gallery

    contents = open_backend(source).contents()
    write_gallery(target, contents)
    print(
        f"{target}: {count(len(contents.people()), 'person', 'people')}, {count(len(contents.entries), 'photo')}; "
        f"{source} is as it was"
    )


COMMANDS: dict[str, Callable[..., None]] = {"copy": copy}
