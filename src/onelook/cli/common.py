"""Arguments and options shared by several commands, and functions that open galleries and print tables."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onelook.data.photo_path import STANDARD_INPUT, check_is_local
from onelook.errors import OnelookError
from onelook.gallery.location import ADDRESS_FORMS, Location, parse_location

if TYPE_CHECKING:
    from onelook.gallery.face_selection import FaceChoice
    from onelook.gallery.gallery import Gallery

DEFAULT_GALLERY = Path("gallery")
PIPELINE_GALLERY = Path("build/gallery")


def _parse_photo(text: str) -> Path:
    check_is_local(text)
    return STANDARD_INPUT if text == "-" else Path(text)


PhotoArgument = Annotated[
    Path, typer.Argument(help="A photo; - is standard input.", metavar="PHOTO", parser=_parse_photo, show_default=False)
]
PhotosArgument = Annotated[
    list[Path],
    typer.Argument(
        help="One or more photo files; - is standard input.", metavar="PHOTO", parser=_parse_photo, show_default=False
    ),
]
NameArgument = Annotated[str, typer.Argument(help="Name of the person.", metavar="NAME", show_default=False)]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model folder or exported .onnx file.  "
        "[default: $ONELOOK_MODEL, else the gallery's model, or the released weights]",
    ),
]
RegisteredModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model folder, exported .onnx file, or models:/onelook@ALIAS in MLflow's registry, "
        "which includes a gallery.  [default: $ONELOOK_MODEL, else the gallery's model]",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or mps; auto: CUDA, else MPS, else the CPU."),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="Calibration file with the threshold of a new gallery.  "
        "[default: calibration.json in the model folder, or build/evaluation/calibration.json]",
    ),
]
# The value is a Location; typer does not support unions of types.
GalleryOption = Annotated[
    Any,
    typer.Option(
        "--gallery",
        parser=parse_location,
        metavar="GALLERY",
        help=f"Gallery folder, or {ADDRESS_FORMS}.  [default: gallery; if there is none, build/gallery]",
    ),
]
WritableGalleryOption = Annotated[
    Any,
    typer.Option("--gallery", parser=parse_location, metavar="GALLERY", help=f"Gallery folder, or {ADDRESS_FORMS}."),
]


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
FpirOption = Annotated[
    float | None,
    typer.Option(
        "--fpir",
        metavar="RATE",
        help="False-positive identification rate: of the faces of strangers, at most this fraction gets a name.  "
        "[default: that of the gallery]",
    ),
]
PicturesOption = Annotated[
    Path | None,
    typer.Option(
        "--pictures",
        metavar="FOLDER",
        help="Write PNG copies of the photos with the faces drawn in to this folder.",
    ),
]
PointsOption = Annotated[bool, typer.Option("--points", help="Draw the landmarks into the pictures, too.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
LargestOption = Annotated[bool, typer.Option("--largest", help="In a photo with several faces, take the largest one.")]


def resolve_gallery(gallery: Location | None) -> Location:
    """Return the location of the gallery to read.

    Args:
        gallery: location that the user named; None: the user's own gallery, or the pipeline's if only that exists.
    """
    from onelook.gallery.storage import is_gallery

    if gallery is not None:
        return gallery
    return PIPELINE_GALLERY if is_gallery(PIPELINE_GALLERY) and not is_gallery(DEFAULT_GALLERY) else DEFAULT_GALLERY


def open_with_model(gallery: Location | None, model: Path | None, device: str, fpir: float | None = None) -> "Gallery":
    """Open a gallery to read, downloading it and its model if the model is a registry URI.

    Args:
        gallery: see `resolve_gallery`; with a registry URI, None is the registered gallery.
        model: model folder, exported file or registry URI; None: the gallery's model.
        device: name of the model's device.
        fpir: false-positive identification rate; None: that of the gallery.
    """
    from onelook.experiment.registry import download_version, is_registry_uri
    from onelook.gallery.gallery import open_gallery

    if model is None or not is_registry_uri(model):
        return open_gallery(resolve_gallery(gallery), model=model, device=device, fpir=fpir)
    version = download_version(str(model))
    location = version.gallery if gallery is None else gallery
    return open_gallery(location, model=version.model, device=device, fpir=fpir)


def parse_face_choice(largest: bool, face: int | None, box: str | None) -> "FaceChoice":
    """Convert the options that choose a face of a photo.

    Raises:
        OnelookError: more than one is given, or the box cannot be read.
    """
    if largest + (face is not None) + (box is not None) > 1:
        raise OnelookError("--largest, --face and --box exclude each other; name one")
    if box is None:
        return "largest" if largest else face
    try:
        x, y, width, height = (float(part) for part in box.split(","))
    except ValueError as error:
        raise OnelookError(f"--box {box}: needs four numbers x,y,width,height in pixels") from error
    return x, y, width, height


def print_rows(
    title: str | None, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, prefix: str | None = None
) -> None:
    """Print a line and a table on a terminal, tab-separated lines elsewhere.

    Args:
        title: line above the table, on a terminal only; None: there is none.
        columns: column names, on a terminal only.
        rows: cells of each row.
        prefix: first cell of each tab-separated line.
    """
    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row if prefix is None else (prefix, *row)))
        return
    if title is not None:
        console.print(Text(title), soft_wrap=True)
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text objects, because names and paths may contain rich's markup characters.
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def pluralize(number: int, singular: str, plural: str | None = None) -> str:
    """Format a number with its noun, such as "1 photo" or "2 photos"."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def confirm(question: str, yes: bool) -> None:
    """Ask before something is replaced or removed.

    Args:
        question: what is about to happen.
        yes: the user has agreed by option.

    Raises:
        OnelookError: nobody can be asked, because standard input is no terminal.
        typer.Exit: with code 1, if the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise OnelookError(f"{question} There is no terminal to ask on, so nothing was changed; agree with --yes")
    if not typer.confirm(question):
        print("nothing was changed")
        raise typer.Exit(1)
