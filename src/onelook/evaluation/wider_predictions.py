"""WIDER FACE predictions in the official text format, which all its evaluators read.

There is a folder per event and a file per photo: its name, the number of predictions, then `x y width height score` per
line.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onelook.errors import DataError
from onelook.evaluation.wider_ground_truth import WiderPhoto
from onelook.files import resolve_inside, write_text


def write_predictions(
    folder: Path, photos: Sequence[WiderPhoto], boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray]
) -> None:
    """Write `event/name.txt` for each photo; other files in the folder stay.

    Numbers are written with all digits. Float32 scores, and coordinates above a millionth of a pixel, are restored
    exactly.

    Args:
        folder: created if missing.
        photos: the photos.
        boxes, scores: per photo (n, 4) x1 y1 x2 y2 in its pixels and (n,).

    Raises:
        OnelookError: a file cannot be written, or a name leads out of the folder.
    """
    for photo, corners, photo_scores in zip(photos, boxes, scores, strict=True):
        corners = np.asarray(corners, np.float64)
        rows = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2], photo_scores]).tolist()
        lines = [f"{photo.name}.jpg", str(len(rows)), *(" ".join(map(repr, row)) for row in rows)]
        write_text(_prediction_file(folder, photo), "\n".join(lines) + "\n", private=False)


def read_predictions(folder: Path, photos: Sequence[WiderPhoto]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Read the boxes and scores of each photo; a photo without a file has none.

    Returns:
        Per photo boxes (n, 4) float64, x1 y1 x2 y2 in its pixels, and scores (n,) float64, in the order of the file.

    Raises:
        DataError: a file is damaged, or none of the photos has one.
        OnelookError: a name leads out of the folder.
    """
    boxes, scores, files = [], [], 0
    for photo in photos:
        path = _prediction_file(folder, photo)
        rows = np.zeros((0, 5))
        if path.is_file():
            rows = _read_rows(path, photo.name)
            files += 1
        boxes.append(np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1))
        scores.append(rows[:, 4])
    if files == 0:
        raise DataError(f"{folder}: no prediction of any of the {len(photos)} photos; it must hold <event>/<photo>.txt")
    return boxes, scores


def _prediction_file(folder: Path, photo: WiderPhoto) -> Path:
    return resolve_inside(folder, f"{photo.event}/{photo.name}.txt")


def _read_rows(path: Path, name: str) -> np.ndarray:
    """Read rows (n, 5) float64 of x, y, width, height and score."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text; write it again") from error
    head = [*lines[:2], "", ""]
    # Some programs write the photo's path, some its name, with or without a suffix.
    if head[0].strip().rsplit("/", 1)[-1].removesuffix(".jpg") != name:
        raise DataError(f"{path}, line 1: not the photo's name, {name}.jpg; write the file again")
    if not head[1].strip().isdecimal():
        raise DataError(f"{path}, line 2: not the number of predictions; write the file again")
    rows = [_parse_row(path, number, line) for number, line in enumerate(lines[2:], start=3) if line.strip()]
    if len(rows) != int(head[1]):
        raise DataError(f"{path}, line 2: {head[1].strip()} predictions, {len(rows)} follow; write the file again")
    return np.array(rows, np.float64).reshape(-1, 5)


def _parse_row(path: Path, number: int, line: str) -> list[float]:
    try:
        row = [float(word) for word in line.split()]
    except ValueError:
        row = []
    if len(row) != 5 or not np.isfinite(row).all():
        raise DataError(f"{path}, line {number}: not `x y width height score`; write the file again")
    return row
