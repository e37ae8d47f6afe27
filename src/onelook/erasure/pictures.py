"""Draw the pictures of `identify-all` again without one person."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onelook.data.image_io import encode_image, read_image
from onelook.drawing import ORANGE, SKY, draw_boxes
from onelook.erasure.finding import replace_file
from onelook.media.journal import Record


def can_redraw(record: Record) -> bool:
    """Return whether the picture of a photo shows others, and the photo is still the one that was identified."""
    if record["what"] != "photo" or not record["faces"]:
        return False
    try:
        stat = Path(record["source"]).stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (record["bytes"], record["mtime_ns"])


def redraw_picture(path: Path, record: Record, covered: Sequence[Sequence[float]]) -> None:
    """Replace a picture by the photo with the remaining faces drawn in.

    Args:
        path: the picture.
        record: record of the photo, with the faces to draw.
        covered: boxes x1 y1 x2 y2 of the person's faces, which are filled with their mean color.

    Raises:
        OnelookError: the photo cannot be read, or the picture not be written.
    """
    image = np.array(read_image(Path(record["source"])))
    for box in covered:
        x1, y1, x2, y2 = np.asarray(box).round().astype(int).clip(0, [*image.shape[1::-1]] * 2)
        if x1 < x2 and y1 < y2:
            image[y1:y2, x1:x2] = image[y1:y2, x1:x2].mean(axis=(0, 1))
    faces = record["faces"]
    boxes = np.asarray([face["box"] for face in faces], np.float64)
    is_anonymous = [face["name"] is None for face in faces]
    colors = [ORANGE if anonymous else SKY for anonymous in is_anonymous]
    drawn = draw_boxes(image, boxes, None, [face["name"] or "" for face in faces], colors, is_anonymous)
    replace_file(path, encode_image(drawn, ".jpg"))
