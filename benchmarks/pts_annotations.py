"""Convert photos with 68 marked points (300-W's `.pts` files, such as Helen's) for the reader json_annotations.

    python benchmarks/pts_annotations.py --photos helen/trainset --out build/helen
    dvc exp run -S prepare.reader=json_annotations -S prepare.json_annotations.path=build/helen

The five points are the centers of the eyes, the tip of the nose and the corners of the mouth. The box spans the 68
points and is extended upwards to the forehead. Writes annotations.json and images/ into the output folder.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

from onelook.errors import DataError, OnelookError
from onelook.files import write_json

FOREHEAD = 0.32
"""Height of the box above the eyebrows, as a fraction of the height of the points.

Median of the released detector's boxes in 60 photos of Helen, whose other sides are within 3 % of the points'."""
EYES, NOSE, MOUTH = ((36, 42), (42, 48)), 30, (48, 54)


def main() -> None:
    """Convert a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of NAME.jpg and NAME.pts")
    parser.add_argument("--out", type=Path, required=True, help="folder for annotations.json and images/")
    arguments = parser.parse_args()
    try:
        labels = {}
        (arguments.out / "images").mkdir(parents=True, exist_ok=True)
        for path in sorted(arguments.photos.glob("*.pts")):
            photo = path.with_suffix(".jpg")
            points = read_pts(path)
            x, y, x2, y2 = span_box(points).round(2).tolist()
            label = {"boxes_xywh": [[x, y, x2 - x, y2 - y]], "points": [to_five(points).round(2).tolist()]}
            labels[photo.name] = label
            shutil.copyfile(photo, arguments.out / "images" / photo.name)
        if not labels:
            raise DataError(f"{arguments.photos}: no .pts file; name the folder of the photos and their points")
        write_json(arguments.out / "annotations.json", labels)
    except OnelookError as error:
        sys.exit(str(error))


def read_pts(path: Path) -> np.ndarray:
    """Read the 68 points (68, 2) float64 of a file.

    Raises:
        DataError: it has other content.
    """
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    try:
        points = np.array([line for line in lines if len(line) == 2 and ":" not in line[0]], np.float64)
    except ValueError as error:
        raise DataError(f"{path}: not 68 points; restore the file") from error
    if points.shape != (68, 2):
        raise DataError(f"{path}: not 68 points; restore the file")
    return points


def to_five(points: np.ndarray) -> np.ndarray:
    """Select the five points (5, 2) of 68 (68, 2)."""
    eyes = [points[first:last].mean(0) for first, last in EYES]
    return np.array([*eyes, points[NOSE], *points[list(MOUTH)]])


def span_box(points: np.ndarray) -> np.ndarray:
    """Return the box (4,) x1 y1 x2 y2 of a face by its 68 points."""
    low, high = points.min(0), points.max(0)
    return np.array([low[0], low[1] - FOREHEAD * (high[1] - low[1]), *high])


if __name__ == "__main__":
    main()
