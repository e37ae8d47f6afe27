"""The labels that WIDER FACE is evaluated with: the four `.mat` files of its official `eval_tools`.

Yang et al., "WIDER FACE: a face detection benchmark", CVPR 2016. `wider_face_val.mat` holds every labeled box of a
photo; `wider_easy_val.mat`, `wider_medium_val.mat` and `wider_hard_val.mat` say by number, from 1, which of them have
to be found in that setting. The others are ignored there, not absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from scipy.io import loadmat

from onelook.errors import DataError

Setting = Literal["easy", "medium", "hard"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
EVERY_BOX = "wider_face_val.mat"

Photo = tuple[str, str]
"""Event and name."""


@dataclass(frozen=True, eq=False)
class WiderPhoto:
    """The labels of one photo.

    Attributes:
        event: the folder it is in, for instance "0--Parade".
        name: of its file, without ".jpg".
        boxes: (m, 4) float32, x1 y1 x2 y2 in pixels of the photo; officially some are 0 pixels wide, one -2.
        wanted: by setting (m,) bool, the boxes that have to be found.
    """

    event: str
    name: str
    boxes: np.ndarray
    wanted: Mapping[Setting, np.ndarray]


def read_wider_truth(folder: Path) -> tuple[WiderPhoto, ...]:
    """The labels of every photo, in the order of the files.

    Args:
        folder: holds the four files, named as officially.

    Raises:
        DataError: a file is missing or damaged, or they are not of one release.
    """
    every = _read_cells(folder / EVERY_BOX, "face_bbx_list")
    numbers = {}
    for setting in SETTINGS:
        path = folder / f"wider_{setting}_val.mat"
        numbers[setting] = _read_cells(path, "gt_list")
        if list(numbers[setting]) != list(every):
            raise DataError(f"{path}: lists other photos than {EVERY_BOX}; take all four files from one download")
    photos = []
    for photo, cell in every.items():
        boxes = _boxes(folder / EVERY_BOX, photo, cell)
        wanted = {setting: _wanted(setting, folder, photo, numbers[setting][photo], len(boxes)) for setting in SETTINGS}
        photos.append(WiderPhoto(*photo, boxes, wanted))
    return tuple(photos)


def _boxes(path: Path, photo: Photo, cell: np.ndarray) -> np.ndarray:
    """From x, y, width, height, a box a row, to corners."""
    try:
        sides = np.asarray(cell, np.float32).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: boxes of {'/'.join(photo)} are no rows of four numbers; download it again") from error
    return np.concatenate([sides[:, :2], sides[:, :2] + sides[:, 2:]], axis=1)


def _wanted(setting: Setting, folder: Path, photo: Photo, cell: np.ndarray, count: int) -> np.ndarray:
    """From numbers, counted from 1, to (count,) bool."""
    wanted = np.zeros(count, bool)
    if cell.size == 0:  # an empty cell may be of any kind
        return wanted
    if cell.dtype.kind not in "iuf" or not np.isin(cell, np.arange(1, count + 1)).all():
        path = folder / f"wider_{setting}_val.mat"
        raise DataError(f"{path}: {'/'.join(photo)} has {count} boxes, and another is listed; download it again")
    wanted[cell.ravel().astype(np.int64) - 1] = True
    return wanted


def _read_cells(path: Path, variable: str) -> dict[Photo, np.ndarray]:
    """What a variable of a file holds for each photo."""
    content = _load(path)
    cells: dict[Photo, np.ndarray] = {}
    try:
        events = (content[each].ravel() for each in ("event_list", "file_list", variable))
        for event, files, values in zip(*events, strict=True):
            for file, value in zip(files.ravel(), values.ravel(), strict=True):
                cells[str(event.item()), str(file.item())] = np.asarray(value)
    except (KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not laid out as WIDER FACE's own; take it from its eval_tools") from error
    return cells


def _load(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; unpack the ground_truth folder of WIDER FACE's eval_tools there")
    try:
        content: dict[str, np.ndarray] = loadmat(path)
    except Exception as error:  # scipy raises whatever damaged data makes it trip over
        raise DataError(f"{path}: not a MATLAB file, or a damaged one; download it again") from error
    return content
