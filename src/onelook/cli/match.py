"""The commands `verify` and `find`: compare two photos, and search a folder for the person of a photo."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from onelook.cli.common import (
    DeviceOption,
    JsonOption,
    LargestOption,
    ModelOption,
    PhotoArgument,
    pluralize,
    print_rows,
)
from onelook.cli.output import print_json
from onelook.error_rates import DEFAULT_FAR, DEFAULT_FPIR
from onelook.progress import progress_bar

if TYPE_CHECKING:
    from onelook.gallery.verification import Verification
    from onelook.media.person_search import SearchReport

logger = logging.getLogger(__name__)


def verify(
    first: PhotoArgument,
    second: PhotoArgument,
    far: Annotated[
        float,
        typer.Option(
            "--far",
            metavar="RATE",
            help="False-accept rate: of pairs of different people, at most this fraction counts as one person.",
        ),
    ] = DEFAULT_FAR,
    largest: LargestOption = False,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Decide whether two photos show the same person.

    Prints "same person", "different people" or "not sure" with the reason; the similarity, the threshold at the
    false-accept rate, and the confidence: the probability of the same person if half of the pairs are.

    Exit code 1: a photo cannot be read, or does not show exactly one face.
    """
    from onelook import api
    from onelook.names import escape_path

    compared = api.verify(first, second, far=far, face="largest" if largest else None, model=model, device=device)
    if as_json:
        faces = [
            {"photo": escape_path(photo), **face.to_dict()}
            for photo, face in ((first, compared.first), (second, compared.second))
        ]
        print_json({**compared.to_dict(), "faces": faces})
    else:
        _print_verification(compared)


def find(
    example: Annotated[Path, typer.Argument(help="A photo of the person.", metavar="EXAMPLE", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Folder of photos.", metavar="FOLDER", show_default=False)],
    fpir: Annotated[
        float,
        typer.Option(
            "--fpir",
            metavar="RATE",
            help="False-positive identification rate: of the faces of other people, at most this fraction is found.",
        ),
    ] = DEFAULT_FPIR,
    largest: LargestOption = False,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Find the photos of a person in a folder and its subfolders, without enrolling.

    Prints for each photo the box of the face (x1 y1 x2 y2 in pixels), the similarity and the confidence, most similar
    first. On a terminal this is a table; in a pipe or a file it is a line of tab-separated values.

    Exit code 1: the example cannot be used, or a photo of the folder cannot be read. The others are searched all the
    same.
    """
    from onelook import api

    search = api.open_search(example, fpir=fpir, face="largest" if largest else None, model=model, device=device)
    with progress_bar() as progress:
        bar = progress.add_task("photos", total=None)
        report = search.run(folder, lambda total: progress.update(bar, advance=1, total=total))
    if report.videos:
        videos = pluralize(report.videos, "video")
        logger.warning("%s: %s not searched; `onelook identify-all` finds enrolled people in videos", folder, videos)
    if as_json:
        print_json(
            {
                "found": [each.to_dict() for each in report.found],
                "photos": report.photos,
                "faces": report.faces,
                "videos": report.videos,
                "errors": list(report.errors),
            }
        )
    else:
        _print_report(report)
    if report.errors:
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {"verify": verify, "find": find}


def _print_verification(compared: "Verification") -> None:
    if not Console().is_terminal:
        numbers = (compared.similarity, compared.threshold, compared.far, compared.confidence)
        print(compared.label, *(f"{number:.6g}" for number in numbers), sep="\t")
        return
    print(compared.label)
    print(f"similarity {compared.similarity:.3f}, confidence of the same person {_format_percent(compared.confidence)}")
    print(f"threshold {compared.threshold:.3f}, at a false-accept rate of {compared.far:.2g}")


def _print_report(report: "SearchReport") -> None:
    from onelook.names import escape_path

    console = Console()
    if console.is_terminal:
        shown = "shows" if len(report.found) == 1 else "show"
        photos = pluralize(report.photos, "photo")
        console.print(f"{len(report.found)} of {photos} {shown} this person", highlight=False)
    rows = [
        (
            escape_path(each.photo),
            " ".join(map(str, each.face.box.round().astype(int))),
            f"{each.similarity:.3f}",
            f"{each.confidence:.3f}",
        )
        for each in report.found
    ]
    if rows:
        print_rows(None, ("photo", "box", "similarity", "confidence"), rows)


def _format_percent(probability: float) -> str:
    """Format a probability; no calibration supports a claim of 0 % or 100 %."""
    if probability > 0.99:
        return "over 99 %"
    return "under 1 %" if probability < 0.01 else f"{probability:.0%}".replace("%", " %")
