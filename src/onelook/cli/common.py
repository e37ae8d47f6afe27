"""What the commands share: arguments that several take, and how they print."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onelook.errors import OnelookError
from onelook.gallery.location import FORMS, Location, parse_location

if TYPE_CHECKING:
    from onelook.gallery.gallery import Gallery

OWN_GALLERY = Path("gallery")
PIPELINE_GALLERY = Path("build/gallery")

Photos = Annotated[list[Path], typer.Argument(help="photos", metavar="PHOTO", show_default=False)]
Name = Annotated[str, typer.Argument(help="the person's name", metavar="NAME", show_default=False)]
ModelFolder = Annotated[
    Path | None,
    typer.Option(
        "--model", help="the model's folder or its exported file  [default: the gallery's own, or the released weights]"
    ),
]
ReadModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="the model's folder, its exported file, or models:/onelook@ALIAS in MLflow's registry, "
        "which brings its gallery  "
        "[default: the gallery's own]",
    ),
]
Calibration = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        help="threshold of a new gallery  [default: calibration.json in the model's folder, or "
        "build/evaluation/calibration.json]",
    ),
]
# Of a Place; typer takes no unions of types.
ReadGallery = Annotated[
    Any,
    typer.Option(
        "--gallery",
        parser=parse_location,
        metavar="GALLERY",
        help=f"the gallery's folder, or {FORMS}  [default: gallery, or build/gallery where there is none]",
    ),
]
ChangedGallery = Annotated[
    Any,
    typer.Option("--gallery", parser=parse_location, metavar="GALLERY", help=f"the gallery's folder, or {FORMS}"),
]


def reading(gallery: Location | None) -> Location:
    """The gallery to read: the one named, or the user's own, or the pipeline's where there is no other."""
    from onelook.gallery.storage import is_gallery

    if gallery is not None:
        return gallery
    return PIPELINE_GALLERY if is_gallery(PIPELINE_GALLERY) and not is_gallery(OWN_GALLERY) else OWN_GALLERY


def opened(gallery: Location | None, model: Path | None) -> "Gallery":
    """The gallery to read with its model, from its folder or from MLflow's registry, where the model is named there."""
    from onelook.experiment.registry import fetch, is_address
    from onelook.gallery.gallery import open_gallery

    if model is None or not is_address(model):
        return open_gallery(reading(gallery), model=model)
    kept = fetch(str(model))
    return open_gallery(kept.gallery if gallery is None else gallery, model=kept.model)


def complain(error: OnelookError) -> None:
    """Say on stderr what is wrong."""
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)


def print_rows(
    title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, repeat: str | None = None
) -> None:
    """A titled table on a terminal; elsewhere a line a row with tabs between, `repeat` in front of each."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row if repeat is None else (repeat, *row)))
        return
    table = Table(title=Text(title), title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, because a name or a path is never markup.
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 photo, 2 photos."""
    return f"{number} {one if number == 1 else many or one + 's'}"
