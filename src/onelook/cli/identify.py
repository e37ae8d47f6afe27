"""The command `identify`: identify the people in photos."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import (
    DeviceOption,
    GalleryOption,
    PhotosArgument,
    RegisteredModelOption,
    open_with_model,
    pluralize,
    print_rows,
)
from onelook.errors import ModelError, OnelookError, PhotoError

if TYPE_CHECKING:
    import numpy as np

    from onelook.gallery.identification import IdentifiedFace

logger = logging.getLogger(__name__)


def identify(
    photos: PhotosArgument,
    gallery: GalleryOption = None,
    model: RegisteredModelOption = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures",
            metavar="FOLDER",
            help="Write PNG copies of the photos with the faces drawn in to this folder.",
        ),
    ] = None,
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

    Prints for each face the box (x1 y1 x2 y2 in pixels), the name, "unknown" or "not sure" with the reason, the cosine
    similarity and the detection score. On a terminal this is a table; in a pipe or a file it is a line of tab-separated
    values, with the photo in front.

    Exit code 1: at least one photo cannot be read or shows no face. The other photos are identified all the same.
    """
    from onelook.data.image_io import read_image
    from onelook.gallery.names import escape_path

    opened = open_with_model(gallery, model, device)
    if meshes is not None and not opened.has_mesh_head:
        raise ModelError(
            f"{opened.location}: its model has no mesh head; name another by --model, or leave --meshes out"
        )
    results: list[dict[str, object]] = []
    has_failed = False
    for photo in photos:
        result: dict[str, object] = {"photo": escape_path(photo), "faces": [], "picture": None, "error": None}
        try:
            image = read_image(photo)
            faces = opened.identify(image)
            if not faces:
                raise PhotoError(f"{photo}: no face found")
            result["faces"] = [face.to_dict() for face in faces]
            if not as_json:
                _print_faces(escape_path(photo), image, faces)
            _warn_of_small_faces(escape_path(photo), faces)
            if pictures is not None:
                result["picture"] = escape_path(_write_picture(pictures, photo, image, faces))
            if meshes is not None:
                _write_meshes(meshes, photo, faces)
        except OnelookError as error:
            has_failed = True
            result["error"] = str(error)
            logger.error("%s", error)
        results.append(result)
    if as_json:
        # ASCII, because the document must survive a terminal or a pipe of any encoding.
        print(json.dumps(results, indent=2, allow_nan=False))
    if has_failed:
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {"identify": identify}


def _print_faces(photo: str, image: "np.ndarray", faces: "list[IdentifiedFace]") -> None:
    height, width = image.shape[:2]
    rows = []
    for face in faces:
        box = face.box.clip(0, [width, height, width, height]).round().astype(int)
        similarity = "-" if face.similarity is None else f"{face.similarity:.3f}"
        rows.append((" ".join(map(str, box)), face.label, similarity, f"{face.score:.3f}"))
    print_rows(photo, ("box", "name", "similarity", "score"), rows, prefix=photo)


def _warn_of_small_faces(photo: str, faces: "list[IdentifiedFace]") -> None:
    """Log how many faces are too small in the photo itself to be named reliably."""
    from onelook.face_quality import MIN_SIZE
    from onelook.geometry.boxes import box_sizes

    small = sum(bool(box_sizes(face.box) < MIN_SIZE) for face in faces)
    if small:
        count = pluralize(small, "face")
        logger.warning("%s: %s smaller than %.0f pixels; their names are uncertain", photo, count, MIN_SIZE)


def _write_picture(folder: Path, photo: Path, image: "np.ndarray", faces: "list[IdentifiedFace]") -> Path:
    """Write a copy of the photo with the faces drawn in, under an unused name in `folder`."""
    from onelook.data.image_io import write_image
    from onelook.gallery.drawing import draw_identified

    path = _reserve_path(folder, photo.stem, ".png", "--pictures")
    try:
        write_image(path, draw_identified(image, faces))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _write_meshes(folder: Path, photo: Path, faces: "list[IdentifiedFace]") -> None:
    """Write one OBJ file per face, in the order of the faces, under unused names in `folder`."""
    from onelook.files import write_text
    from onelook.geometry.mesh import to_obj

    for face in faces:
        assert face.mesh is not None
        write_text(_reserve_path(folder, photo.stem, ".obj", "--meshes"), to_obj(face.mesh))


def _reserve_path(folder: Path, stem: str, suffix: str, option: str) -> Path:
    """Create an empty file under the first unused name STEM.SUFFIX, STEM-2.SUFFIX, …, and return its path.

    Neither the photo nor a picture of an earlier run is overwritten.

    Args:
        folder: folder of the file; created if missing.
        stem: name without the number and the suffix.
        suffix: suffix with its dot.
        option: command-line option that named the folder, for the error message.
    """
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
            raise OnelookError(f"{folder}: cannot be written ({error.strerror or error})") from error
