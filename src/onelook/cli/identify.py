"""The command that says who is in a photo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import Photos, ReadGallery, ReadModel, complain, opened, print_rows
from onelook.errors import ModelError, OnelookError, PhotoError

if TYPE_CHECKING:
    import numpy as np

    from onelook.gallery.identification import IdentifiedFace


def identify(
    photos: Photos,
    gallery: ReadGallery = None,
    model: ReadModel = None,
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
    from onelook.data.image_io import read_image
    from onelook.gallery.names import photo_name

    looking = opened(gallery, model)
    if meshes is not None and not looking.has_mesh_head:
        raise ModelError(
            f"{looking.folder}: its model has no mesh head; name another by --model, or leave --meshes out"
        )
    answers: list[dict[str, object]] = []
    failed = False
    for photo in photos:
        answer: dict[str, object] = {"photo": photo_name(photo), "faces": [], "picture": None, "error": None}
        try:
            image = read_image(photo)
            faces = looking.identify(image)
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
            complain(error)
        answers.append(answer)
    if as_json:
        # ASCII, so that the document survives a terminal or a pipe of any encoding; readers of JSON undo it.
        print(json.dumps(answers, indent=2, allow_nan=False))
    if failed:
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., None]] = {"identify": identify}


def _print_faces(photo: str, image: "np.ndarray", faces: "list[IdentifiedFace]") -> None:
    height, width = image.shape[:2]
    rows = []
    for face in faces:
        box = face.box.clip(0, [width, height, width, height]).round().astype(int)
        similarity = "-" if face.similarity is None else f"{face.similarity:.3f}"
        rows.append((" ".join(map(str, box)), face.name or "unknown", similarity, f"{face.score:.3f}"))
    print_rows(photo, ("box", "name", "similarity", "score"), rows, repeat=photo)


def _write_picture(folder: Path, photo: Path, image: "np.ndarray", faces: "list[IdentifiedFace]") -> Path:
    """Draw the faces into a copy of the photo, under a name in `folder` that nothing has yet."""
    from onelook.data.image_io import write_image
    from onelook.gallery.drawing import draw_identified

    path = _reserve(folder, photo.stem, ".png", "--pictures")
    try:
        write_image(path, draw_identified(image, faces))
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
