"""The command `onelook`: identify, enroll, gallery, forget, preset.

What needs torch or FAISS is imported inside the commands, so that help and mistyped commands answer at once.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onelook.errors import ModelError, OnelookError, PhotoError

if TYPE_CHECKING:
    import numpy as np

    from onelook.gallery.gallery import IdentifiedFace

OWN_GALLERY = Path("gallery")
PIPELINE_GALLERY = Path("build/gallery")
PARAMS = Path("params.yaml")

app = typer.Typer(
    help="Find every face in a photo and say who it is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Photos = Annotated[list[Path], typer.Argument(help="photos", metavar="PHOTO", show_default=False)]
Name = Annotated[str, typer.Argument(help="the person's name", metavar="NAME", show_default=False)]
ModelFolder = Annotated[
    Path | None,
    typer.Option("--model", help="the model's folder  [default: the gallery's own, or the released weights]"),
]
ReadGallery = Annotated[
    Path | None,
    typer.Option("--gallery", help="the gallery's folder  [default: gallery, or build/gallery where there is none]"),
]
ChangedGallery = Annotated[Path, typer.Option("--gallery", help="the gallery's folder")]


@app.command()
def identify(
    photos: Photos,
    gallery: ReadGallery = None,
    model: ModelFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="write the photos with the faces drawn in into this folder, as PNG"),
    ] = None,
    meshes: Annotated[
        Path | None,
        typer.Option(
            "--meshes",
            help="write the mesh of each face into this folder, as Wavefront OBJ; needs a model with a mesh head",
        ),
    ] = None,
) -> None:
    """Say who is in each photo: box, name or "unknown", similarity, detection score.

    Where the output is no terminal, a face is a line: photo, box (x1 y1 x2 y2 in pixels), name, similarity and score,
    with tabs between them. Exit code 1: a photo could not be read, or shows no face; the others are answered.
    """
    from onelook.data.photo import read_photo
    from onelook.gallery.enrolment import photo_name
    from onelook.gallery.gallery import open_gallery

    opened = open_gallery(_reading(gallery), model=model)
    if meshes is not None and not opened.tells_meshes:
        raise ModelError(f"{opened.folder}: its model has no mesh head; name another by --model, or leave --meshes out")
    answers: list[dict[str, object]] = []
    failed = False
    for photo in photos:
        answer: dict[str, object] = {"photo": photo_name(photo), "faces": [], "picture": None, "error": None}
        try:
            image = read_photo(photo)
            faces = opened.identify(image)
            if not faces:
                raise PhotoError(f"{photo}: no face found")
            answer["faces"] = [face.record() for face in faces]
            if not as_json:
                _print_faces(photo_name(photo), image, faces)
            if pictures is not None:
                answer["picture"] = photo_name(_write_picture(pictures, photo, image, faces))
            if meshes is not None:
                _write_meshes(meshes, photo, faces)
        except OnelookError as error:
            failed = True
            answer["error"] = str(error)
            _complain(error)
        answers.append(answer)
    if as_json:
        # ASCII, so that the document survives a terminal or a pipe of any encoding; readers of JSON undo it.
        print(json.dumps(answers, indent=2, allow_nan=False))
    if failed:
        raise typer.Exit(1)


@app.command()
def enroll(
    name: Name,
    photos: Photos,
    gallery: ChangedGallery = OWN_GALLERY,
    model: ModelFolder = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="threshold of a new gallery  [default: calibration.json in the model's folder, or "
            "build/evaluation/calibration.json]",
        ),
    ] = None,
) -> None:
    """Enroll a person with photos that show that person alone: all of them, or none if one cannot be used.

    The first enrolment starts the gallery, with the released weights unless --model names another model.
    """
    from onelook.gallery.gallery import create_gallery, open_gallery
    from onelook.gallery.store import is_gallery

    if is_gallery(gallery):
        opened = open_gallery(gallery, model=model)
    else:
        opened = create_gallery(gallery, model=model, calibration=calibration)
    done = opened.enrol(name, photos)
    print(f"{done.name}: {_count(done.added, 'photo')} enrolled, {done.total} in all, in {gallery}")
    if done.known:
        print(f"{done.name}: {_count(done.known, 'photo')} left out, enrolled before", file=sys.stderr)


@app.command("gallery")
def list_people(gallery: ReadGallery = None) -> None:
    """List who is enrolled, and with which photos."""
    from onelook.gallery.store import read

    folder = _reading(gallery)
    contents = read(folder)
    rows = [(name, str(len(rows)), ", ".join(row.photo for row in rows)) for name, rows in contents.people().items()]
    terms = contents.terms
    title = (
        f"{folder}: {_count(len(rows), 'person', 'people')}, threshold {terms.threshold_for(len(rows)):.3f} "
        f"(false-positive identification rate {terms.target_fpir:.2g}), model {terms.fingerprint[:12]}"
    )
    _print_rows(title, ("name", "photos", "from"), rows)


@app.command()
def forget(name: Name, gallery: ChangedGallery = OWN_GALLERY) -> None:
    """Remove a person, and every trace of that person, from a gallery."""
    from onelook.gallery.enrolment import check_name
    from onelook.gallery.store import change

    kept = check_name(name)
    change(gallery, lambda contents: contents.without(kept))
    print(f"{kept}: forgotten, nothing of it is left in {gallery}")


@app.command()
def preset(
    name: Annotated[str | None, typer.Argument(help="which preset; none: list them", metavar="[NAME]")] = None,
) -> None:
    """Write the settings of a paper into ./params.yaml, keeping its comments; without a name, list the presets."""
    from onelook.preset import apply_preset, presets

    if name is None:
        _print_rows("presets", ("preset", "what it is"), presets().items())
        return
    changes = apply_preset(name, PARAMS)
    _print_rows(f"{PARAMS}: {name}", ("key", "old", "new"), [(each.key, each.old, each.new) for each in changes])
    if not changes:
        print(f"{PARAMS}: {name} is set already", file=sys.stderr)


def main() -> None:
    """Run the command; an OnelookError ends it with its line on stderr and exit code 1, Ctrl-C with 130."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown escaped instead of ending the command.
        cast("TextIO", stream).reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]
    try:
        app()
    except OnelookError as error:
        _complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: OnelookError) -> None:
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)


def _reading(gallery: Path | None) -> Path:
    from onelook.gallery.store import is_gallery

    if gallery is not None:
        return gallery
    return PIPELINE_GALLERY if is_gallery(PIPELINE_GALLERY) and not is_gallery(OWN_GALLERY) else OWN_GALLERY


def _print_faces(photo: str, image: "np.ndarray", faces: "list[IdentifiedFace]") -> None:
    height, width = image.shape[:2]
    rows = []
    for face in faces:
        box = face.box.clip(0, [width, height, width, height]).round().astype(int)
        similarity = "-" if face.similarity is None else f"{face.similarity:.3f}"
        rows.append((" ".join(map(str, box)), face.name or "unknown", similarity, f"{face.score:.3f}"))
    _print_rows(photo, ("box", "name", "similarity", "score"), rows, repeat=photo)


def _print_rows(
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


def _write_picture(folder: Path, photo: Path, image: "np.ndarray", faces: "list[IdentifiedFace]") -> Path:
    """Draw the faces into a copy of the photo, under a name in `folder` that nothing has yet."""
    from onelook.data.photo import write_photo
    from onelook.gallery.picture import draw_identified

    path = _reserve(folder, photo.stem, ".png", "--pictures")
    try:
        write_photo(path, draw_identified(image, faces))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _write_meshes(folder: Path, photo: Path, faces: "list[IdentifiedFace]") -> None:
    """A file for each face, in the order of the answer, under names in `folder` that nothing has yet."""
    from onelook.files import write_text
    from onelook.geometry.mesh import to_obj

    for face in faces:
        assert face.mesh is not None
        write_text(_reserve(folder, photo.stem, ".obj", "--meshes"), to_obj(face.mesh))


def _reserve(folder: Path, stem: str, suffix: str, option: str) -> Path:
    """Take the first free name: neither a photo nor an earlier file of the same name is ever written over."""
    number = 1
    while True:
        path = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.open("x").close()
            return path
        except FileExistsError:
            if not folder.is_dir():
                raise OnelookError(f"{folder}: is a file; name a folder ({option})") from None
            number += 1
        except OSError as error:
            raise OnelookError(f"{folder}: nothing can be written there ({error.strerror or error})") from error


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
