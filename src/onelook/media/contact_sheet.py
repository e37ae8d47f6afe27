"""A picture of groups of faces, a row a group, to see at a glance who is who and what is wrong."""

import cv2
import numpy as np

from onelook.drawing import text_mask

SHOWN_GROUPS = 40
SHOWN_FACES = 10
_SIDE = 96
_GAP = 4
_LETTERS = 14


class GroupSheet:
    """Takes the pictures as they are cut out, and keeps the few that are shown."""

    def __init__(self, counts: list[int]) -> None:
        """Take how many faces each group has, the largest first."""
        self._counts = counts
        self._cells: list[list[np.ndarray]] = [[] for _ in counts[:SHOWN_GROUPS]]

    def add(self, group: int, picture: np.ndarray) -> None:
        """Take a face (H, W, 3) of a group, 0, 1, …; the first ones of the first groups are shown."""
        if group < len(self._cells) and len(self._cells[group]) < SHOWN_FACES:
            self._cells[group].append(_square(picture))

    def draw(self) -> np.ndarray:
        """The sheet, RGB uint8 (H, W, 3): number and count of each group, and its faces."""
        width = (SHOWN_FACES + 1) * (_SIDE + _GAP) + _GAP
        height = max(1, len(self._cells)) * (_SIDE + _GAP) + _GAP
        sheet = np.full((height, width, 3), 255, np.uint8)
        for row, cells in enumerate(self._cells):
            top = _GAP + row * (_SIDE + _GAP)
            _write(sheet, f"{row + 1:03d}", _GAP, top + _SIDE // 2 - 2 * _LETTERS)
            _write(sheet, f"{self._counts[row]} faces", _GAP, top + _SIDE // 2)
            for column, cell in enumerate(cells, start=1):
                left = _GAP + column * (_SIDE + _GAP)
                sheet[top : top + _SIDE, left : left + _SIDE] = cell
        return sheet


def _square(picture: np.ndarray) -> np.ndarray:
    """A picture on white, as large as a cell."""
    factor = _SIDE / max(picture.shape[:2])
    shape = tuple(max(1, round(side * factor)) for side in picture.shape[1::-1])
    scaled = cv2.resize(picture, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    cell = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    cell[: scaled.shape[0], : scaled.shape[1]] = scaled
    return cell


def _write(sheet: np.ndarray, text: str, left: int, top: int) -> None:
    ink = text_mask(text, _LETTERS)[:, :_SIDE]
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] -= ink[:, :, None]
