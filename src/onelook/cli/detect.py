"""The commands `detect` and `embed`: boxes, landmarks, crops and embeddings of the faces in photos."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onelook.cli.common import (
    DeviceOption,
    JsonOption,
    ModelOption,
    PhotosArgument,
    PicturesOption,
    PointsOption,
    pluralize,
    print_rows,
)
from onelook.cli.output import Result, format_corners, process_photos, write_picture
from onelook.errors import PhotoError

if TYPE_CHECKING:
    import numpy as np

    from onelook.faces import Face


def detect(
    photos: PhotosArgument,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    crops: Annotated[
        Path | None,
        typer.Option(
            "--crops", metavar="FOLDER", help="Write each face to this folder, aligned, as PNG of 112x112 pixels."
        ),
    ] = None,
    pictures: PicturesOption = None,
    points: PointsOption = False,
) -> None:
    """Detect the faces in photos.

    Prints for each face its number, the box (x1 y1 x2 y2 in pixels), the detection score, the size in pixels, sharpness
    and profile. On a terminal this is a table; in a pipe or a file it is a line of tab-separated values, with the photo
    in front. --json adds the five landmarks.

    Exit code 1: at least one photo cannot be read or shows no face.
    """
    from onelook.faces import align_face
    from onelook.gallery.drawing import draw_faces
    from onelook.names import escape_path

    def process(photo: Path, result: Result) -> None:
        image, faces = _detect_faces(photo, model, device)
        result["picture"], result["crops"] = None, []
        result["faces"] = [
            {"number": number, **face.to_dict(), **face.quality.to_dict()} for number, face in enumerate(faces, 1)
        ]
        if crops is not None:
            cut = [align_face(image, face) for face in faces]
            result["crops"] = [escape_path(write_picture(crops, photo, crop, "--crops")) for crop in cut]
        if pictures is not None:
            picture = draw_faces(image, faces, points=points)
            result["picture"] = escape_path(write_picture(pictures, photo, picture, "--pictures"))
        if not as_json:
            _print_faces(escape_path(photo), image, faces)

    process_photos(photos, process, as_json)


def embed(
    photos: PhotosArgument,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Embed the faces in photos: vectors whose inner product is the similarity of two faces.

    Prints for each face a line of tab-separated values: the photo, the box (x1 y1 x2 y2 in pixels), and the numbers of
    the L2-normalized embedding with blanks between them. Embeddings of two models cannot be compared.

    Exit code 1: at least one photo cannot be read or shows no face.
    """
    from onelook.names import escape_path

    def process(photo: Path, result: Result) -> None:
        image, faces = _detect_faces(photo, model, device)
        embeddings = [[round(float(value), 6) for value in face.embedding] for face in faces]
        result["faces"] = [
            {**face.to_dict(), "embedding": embedding} for face, embedding in zip(faces, embeddings, strict=True)
        ]
        if not as_json:
            for face, embedding in zip(faces, embeddings, strict=True):
                print(escape_path(photo), format_corners(face.box, image), " ".join(map(str, embedding)), sep="\t")

    process_photos(photos, process, as_json)


COMMANDS: dict[str, Callable[..., None]] = {"detect": detect, "embed": embed}


def _detect_faces(photo: Path, model: Path | None, device: str) -> "tuple[np.ndarray, list[Face]]":
    """Return a photo and its faces.

    Raises:
        PhotoError: it cannot be read, or shows no face.
    """
    from onelook import api
    from onelook.data.image_io import read_image

    image = read_image(photo)
    faces = api.detect(image, model=model, device=device)
    if not faces:
        raise PhotoError(f"{photo}: no face found")
    return image, faces


def _print_faces(photo: str, image: "np.ndarray", faces: "list[Face]") -> None:
    rows = [
        (
            str(number),
            format_corners(face.box, image),
            f"{face.score:.3f}",
            f"{face.quality.size:.0f}",
            f"{face.quality.sharpness:.2f}",
            "-" if face.quality.profile is None else f"{face.quality.profile:.2f}",
        )
        for number, face in enumerate(faces, 1)
    ]
    title = f"{photo}: {pluralize(len(faces), 'face')}"
    print_rows(title, ("face", "box", "score", "size", "sharpness", "profile"), rows, prefix=photo)
