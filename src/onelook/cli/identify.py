"""The command `identify`: identify the people in photos."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from onelook.cli.common import (
    DeviceOption,
    FpirOption,
    GalleryOption,
    JsonOption,
    PhotosArgument,
    PicturesOption,
    PointsOption,
    RegisteredModelOption,
    open_with_model,
    pluralize,
    print_rows,
)
from onelook.cli.output import Result, format_corners, process_photos, reserve_path, write_picture
from onelook.errors import ModelError, PhotoError

if TYPE_CHECKING:
    import numpy as np

    from onelook.gallery.identification import IdentifiedFace

logger = logging.getLogger(__name__)


def identify(
    photos: PhotosArgument,
    gallery: GalleryOption = None,
    model: RegisteredModelOption = None,
    device: DeviceOption = "auto",
    fpir: FpirOption = None,
    as_json: JsonOption = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="List the faces that are not recognized, too, on a terminal.")
    ] = False,
    pictures: PicturesOption = None,
    points: PointsOption = False,
    meshes: Annotated[
        Path | None,
        typer.Option(
            "--meshes",
            metavar="FOLDER",
            help="Write the 3D mesh of each face to this folder, as Wavefront OBJ. Requires a model with a mesh head.",
        ),
    ] = None,
) -> None:
    """Identify the people in photos.

    On a terminal, prints who is in each photo, and a table of the named faces and those that are not sure. In a pipe or
    a file, prints a line of tab-separated values for each face: the photo, the box (x1 y1 x2 y2 in pixels), the name,
    "unknown" or "not sure" with the reason, the cosine similarity and the detection score.

    Exit code 1: at least one photo cannot be read or shows no face. The other photos are identified all the same.
    """
    from onelook.data.image_io import read_image
    from onelook.gallery.drawing import draw_faces
    from onelook.names import escape_path

    opened = open_with_model(gallery, model, device, fpir)
    if meshes is not None and not opened.has_mesh_head:
        raise ModelError(
            f"{opened.location}: its model has no mesh head; name another by --model, or leave --meshes out"
        )

    def process(photo: Path, result: Result) -> None:
        result["picture"] = None
        if photo.is_dir():
            raise PhotoError(f"{photo}: a folder; `onelook identify-all {photo} --out found` identifies all in it")
        image = read_image(photo)
        faces = opened.identify(image)
        if not faces:
            raise PhotoError(f"{photo}: no face found")
        result["faces"] = [face.to_dict() for face in faces]
        if not as_json:
            _print_faces(escape_path(photo), image, faces, show_all)
        _warn_of_small_faces(escape_path(photo), faces)
        if pictures is not None:
            picture = draw_faces(image, faces, points=points)
            result["picture"] = escape_path(write_picture(pictures, photo, picture, "--pictures"))
        if meshes is not None:
            _write_meshes(meshes, photo, faces)

    process_photos(photos, process, as_json)


COMMANDS: dict[str, Callable[..., None]] = {"identify": identify}


def _print_faces(photo: str, image: "np.ndarray", faces: "list[IdentifiedFace]", show_all: bool) -> None:
    """Print who is in a photo and a table on a terminal, where it lists no unknown faces unless `show_all`."""
    from onelook.gallery.identification import summarize_faces

    console = Console()
    listed = faces
    if console.is_terminal:
        console.print(f"{photo}: {summarize_faces(faces)}", markup=False, highlight=False, soft_wrap=True)
        listed = [face for face in faces if show_all or face.name is not None or face.reason is not None]
    rows = [
        (
            format_corners(face.box, image),
            face.label,
            "-" if face.similarity is None else f"{face.similarity:.3f}",
            f"{face.score:.3f}",
        )
        for face in listed
    ]
    if rows:
        print_rows(None, ("box", "name", "similarity", "score"), rows, prefix=photo)


def _warn_of_small_faces(photo: str, faces: "list[IdentifiedFace]") -> None:
    """Log how many named faces are too small in the photo itself to be named reliably."""
    from onelook.face_quality import MIN_SIZE
    from onelook.geometry.boxes import box_sizes

    small = sum(face.name is not None and bool(box_sizes(face.box) < MIN_SIZE) for face in faces)
    if small:
        count = pluralize(small, "named face")
        logger.warning("%s: %s smaller than %.0f pixels; the names are uncertain", photo, count, MIN_SIZE)


def _write_meshes(folder: Path, photo: Path, faces: "list[IdentifiedFace]") -> None:
    """Write one OBJ file per face, in the order of the faces, under unused names in `folder`."""
    from onelook.files import write_text
    from onelook.geometry.mesh import to_obj

    for face in faces:
        assert face.mesh is not None
        write_text(reserve_path(folder, photo.stem, ".obj", "--meshes"), to_obj(face.mesh))
