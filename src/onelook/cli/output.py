"""Output of the commands about photos: results per photo, as text or one JSON document, and files beside them."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from onelook.errors import OnelookError
from onelook.files import make_private_folder, shorten_stem
from onelook.names import escape_path

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

Result = dict[str, object]
"""JSON object of one photo."""


def process_photos(photos: Sequence[Path], process: Callable[[Path, Result], None], as_json: bool) -> None:
    """Process photos one by one; an error of one is reported, and the others are processed all the same.

    Args:
        photos: paths of the photos.
        process: prints the result of a photo, or adds it to the JSON object that it is given.
        as_json: print the objects of all photos as one JSON document.

    Raises:
        typer.Exit: with code 1, if there was an error.
    """
    results: list[Result] = []
    for photo in photos:
        result: Result = {"photo": escape_path(photo), "faces": [], "error": None}
        try:
            process(photo, result)
        except OnelookError as error:
            result["error"] = str(error)
            logger.error("%s", error)
        results.append(result)
    if as_json:
        print_json(results)
    if any(result["error"] is not None for result in results):
        raise typer.Exit(1)


def print_json(document: object) -> None:
    """Print a JSON document in ASCII, because it must survive a terminal or a pipe of any encoding."""
    print(json.dumps(document, indent=2, allow_nan=False))


def format_corners(box: "np.ndarray", image: "np.ndarray") -> str:
    """Format a box as "x1 y1 x2 y2" in whole pixels, clipped to its image."""
    height, width = image.shape[:2]
    return " ".join(map(str, box.clip(0, [width, height, width, height]).round().astype(int)))


def write_picture(folder: Path, photo: Path, picture: "np.ndarray", option: str) -> Path:
    """Write an RGB picture as a PNG file under an unused name in a folder, named after a photo."""
    from onelook.data.image_io import write_image

    path = reserve_path(folder, photo.stem, ".png", option)
    try:
        write_image(path, picture)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def reserve_path(folder: Path, stem: str, suffix: str, option: str) -> Path:
    """Create an empty file under the first unused name STEM.SUFFIX, STEM-2.SUFFIX, …, and return its path.

    Neither the photo nor a picture of an earlier run is overwritten.

    Args:
        folder: folder of the file; created if missing.
        stem: name without the number and the suffix, shortened where it is too long for a file system.
        suffix: suffix with its dot.
        option: command-line option that named the folder, for the error message.
    """
    stem, number = shorten_stem(stem), 1
    while True:
        path = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
        try:
            make_private_folder(folder)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return path
        except FileExistsError:
            if not folder.is_dir():
                raise OnelookError(f"{folder}: is a file; name a folder ({option})") from None
            number += 1
        except OSError as error:
            raise OnelookError(f"{folder}: cannot be written ({error.strerror or error})") from error
