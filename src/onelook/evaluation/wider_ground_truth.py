"""WIDER FACE ground truth: the four `.mat` files of its official `eval_tools`.

`wider_face_val.mat` holds all labeled boxes of the photos. `wider_easy_val.mat`, `wider_medium_val.mat` and
`wider_hard_val.mat` list the numbers, from 1, of the boxes that are required in that setting; all others are ignored.

Reference: Yang et al., "WIDER FACE: a face detection benchmark", CVPR 2016.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from onelook.errors import DataError
from onelook.evaluation.mat_cells import read_cells

Setting = Literal["easy", "medium", "hard"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
ALL_BOXES_FILE = "wider_face_val.mat"

PhotoKey = tuple[str, str]
"""Event and name of a photo."""


@dataclass(frozen=True, eq=False)
class WiderPhoto:
    """The labels of one photo.

    Attributes:
        event: its folder, for instance "0--Parade".
        name: its file name without ".jpg".
        boxes: (m, 4) float32, x1 y1 x2 y2 in pixels of the photo; some official boxes are 0 pixels wide, one -2.
        required: by setting (m,) bool, the boxes to detect; the others are ignored.
    """

    event: str
    name: str
    boxes: np.ndarray
    required: Mapping[Setting, np.ndarray]


def read_wider_ground_truth(folder: Path) -> tuple[WiderPhoto, ...]:
    """Read the labels of all photos, in the order of the files.

    Args:
        folder: holds the four files under their official names.

    Raises:
        DataError: a file is missing or damaged, or they are not of one release.
    """
    files = [
        (folder / ALL_BOXES_FILE, "face_bbx_list"),
        *((_setting_file(folder, each), "gt_list") for each in SETTINGS),
    ]
    cells, *lists = (
        {(event, photo): np.asarray(rows) for event, photo, rows in file_cells} for file_cells in read_cells(files)
    )
    numbers = dict(zip(SETTINGS, lists, strict=True))
    for setting in SETTINGS:
        if list(numbers[setting]) != list(cells):
            path = _setting_file(folder, setting)
            raise DataError(f"{path}: lists other photos than {ALL_BOXES_FILE}; take all four files from one download")
    photos = []
    for photo, cell in cells.items():
        boxes = _parse_boxes(folder / ALL_BOXES_FILE, photo, cell)
        required = {
            setting: _parse_numbers(_setting_file(folder, setting), photo, numbers[setting][photo], len(boxes))
            for setting in SETTINGS
        }
        photos.append(WiderPhoto(*photo, boxes, required))
    return tuple(photos)


def _setting_file(folder: Path, setting: Setting) -> Path:
    return folder / f"wider_{setting}_val.mat"


def _parse_boxes(path: Path, photo: PhotoKey, cell: np.ndarray) -> np.ndarray:
    """Convert rows x, y, width, height to boxes x1 y1 x2 y2."""
    try:
        rows = np.asarray(cell, np.float32).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: boxes of {'/'.join(photo)} are not rows of four numbers; download it again"
        ) from error
    return np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)


def _parse_numbers(path: Path, photo: PhotoKey, cell: np.ndarray, count: int) -> np.ndarray:
    """Convert box numbers, counted from 1, to a mask (count,) bool."""
    mask = np.zeros(count, bool)
    if cell.size == 0:  # an empty cell may have any dtype
        return mask
    if cell.dtype.kind not in "iuf" or not np.isin(cell, np.arange(1, count + 1)).all():
        raise DataError(f"{path}: {'/'.join(photo)} has {count} boxes, but another number is listed; download it again")
    mask[cell.ravel().astype(np.int64) - 1] = True
    return mask
