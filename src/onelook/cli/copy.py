"""The command `copy`: copy a gallery between folders and Milvus."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from onelook.cli.common import pluralize
from onelook.gallery.location import ADDRESS_FORMS, parse_location


def copy(
    source: Annotated[
        Any,
        typer.Argument(
            parser=parse_location, metavar="FROM", help="Gallery folder or Milvus address.", show_default=False
        ),
    ],
    target: Annotated[
        Any,
        typer.Argument(
            parser=parse_location, metavar="TO", help=f"New folder, or {ADDRESS_FORMS}.", show_default=False
        ),
    ],
) -> None:
    """Copy a gallery to a new folder or to Milvus.

    The copy is complete: people, photos, embeddings, quality, threshold and settings. It is atomic: if the command is
    interrupted, no copy exists; run it again. The source is not changed.
    """
    from onelook.gallery.backend_factory import open_backend, write_gallery

    data = open_backend(source).read_data()
    write_gallery(target, data)
    print(
        f"{target}: {pluralize(len(data.faces_by_person()), 'person', 'people')}, "
        f"{pluralize(len(data.faces), 'photo')}; "
        f"{source} is unchanged"
    )


COMMANDS: dict[str, Callable[..., None]] = {"copy": copy}
