"""Contact sheet of face clusters: one row of thumbnails per group."""

import cv2
import numpy as np

from onelook.drawing import text_mask

MAX_GROUPS = 40
MAX_FACES_PER_GROUP = 10
_CELL_SIDE = 96
_GAP = 4
_FONT_SIZE = 14


class ContactSheet:
    """Collector of face crops that are drawn as thumbnails on one image."""

    def __init__(self, group_sizes: list[int]) -> None:
        """Prepare one row of cells for each shown group.

        Args:
            group_sizes: number of faces of each group, in the order of the rows.
        """
        self._group_sizes = group_sizes
        self._cells: list[list[np.ndarray]] = [[] for _ in group_sizes[:MAX_GROUPS]]

    def add(self, group: int, crop: np.ndarray) -> None:
        """Add a face crop to a group, unless the sheet has no cell left for it.

        Args:
            group: index of the group, from 0.
            crop: (H, W, 3) uint8 RGB.
        """
        if group < len(self._cells) and len(self._cells[group]) < MAX_FACES_PER_GROUP:
            self._cells[group].append(_fit_to_cell(crop))

    def draw(self) -> np.ndarray:
        """Draw the sheet, (H, W, 3) uint8 RGB: number, size and faces of each group."""
        width = (MAX_FACES_PER_GROUP + 1) * (_CELL_SIDE + _GAP) + _GAP
        height = max(1, len(self._cells)) * (_CELL_SIDE + _GAP) + _GAP
        sheet = np.full((height, width, 3), 255, np.uint8)
        for row, cells in enumerate(self._cells):
            top = _GAP + row * (_CELL_SIDE + _GAP)
            _draw_text(sheet, f"{row + 1:03d}", _GAP, top + _CELL_SIDE // 2 - 2 * _FONT_SIZE)
            _draw_text(sheet, f"{self._group_sizes[row]} faces", _GAP, top + _CELL_SIDE // 2)
            for column, cell in enumerate(cells, start=1):
                left = _GAP + column * (_CELL_SIDE + _GAP)
                sheet[top : top + _CELL_SIDE, left : left + _CELL_SIDE] = cell
        return sheet


def _fit_to_cell(crop: np.ndarray) -> np.ndarray:
    """Scale a crop to the size of a cell, with white padding."""
    scale = _CELL_SIDE / max(crop.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in crop.shape[1::-1])
    resized = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    cell = np.full((_CELL_SIDE, _CELL_SIDE, 3), 255, np.uint8)
    cell[: resized.shape[0], : resized.shape[1]] = resized
    return cell


def _draw_text(sheet: np.ndarray, text: str, left: int, top: int) -> None:
    mask = text_mask(text, _FONT_SIZE)[:, :_CELL_SIDE]
    sheet[top : top + mask.shape[0], left : left + mask.shape[1]] -= mask[:, :, None]
