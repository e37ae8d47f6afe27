"""Faces as the dense head tells them, beside the photo: whether they are the same, one has to see."""

from collections.abc import Iterable

import cv2
import numpy as np
import torch

from onelook.drawing import SKY, tile
from onelook.geometry.mesh import edges
from onelook.model.dense import render_boxes
from onelook.model.look import Looker
from onelook.settings import Detect

_SIDE = 192
# The shown square in longer sides of the box: a face that is told too large must be seen to be.
_AROUND = 1.3
_COLUMNS = 9
_GAP = 4


def draw_renderings(looker: Looker, photos: Iterable[np.ndarray], detect: Detect, faces: int) -> np.ndarray:
    """A sheet of `faces` faces, or of as many as are found: each in the photo, rendered over it, and its mesh.

    Args:
        looker: with a dense head.
        photos: RGB uint8 (H, W, 3), looked at until there are enough faces.
        detect: how.
        faces: the most that are shown.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ModelError: the network has no dense head.
    """
    cells: list[np.ndarray] = []
    for photo in photos:
        if len(cells) >= 3 * faces:
            break
        cells += _cells(looker, photo, detect)
    cells = cells[: 3 * faces]
    cells += [np.full((_SIDE, _SIDE, 3), 255, np.uint8)] * (-len(cells) % _COLUMNS)
    return tile(cells, _COLUMNS, _COLUMNS * (_SIDE + _GAP) + _GAP)


def _cells(looker: Looker, photo: np.ndarray, detect: Detect) -> list[np.ndarray]:
    """Three pictures of each face."""
    boxes, told = looker.look_dense(photo, detect)
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    squares = torch.cat([middles - halves * _AROUND, middles + halves * _AROUND], 1)
    pictures, masks = render_boxes(told, squares, _SIDE)
    cells = []
    for square, picture, mask, mesh in zip(squares.numpy(), pictures, masks, told.vertices.numpy(), strict=True):
        scale = _SIDE / (square[2] - square[0])
        # OpenCV puts pixel centres at whole numbers.
        shift = -square[:2] * scale + (scale - 1) / 2
        crop = cv2.warpAffine(photo, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]), (_SIDE, _SIDE))
        rendered = (picture.clip(0, 1) * 255).round().byte().numpy()
        cells += [crop, np.where(mask.numpy()[..., None], rendered, crop), _wires(crop, mesh[:, :2] * scale + shift)]
    return cells


def _wires(crop: np.ndarray, places: np.ndarray) -> np.ndarray:
    lines = places[edges()].round().astype(np.int32)
    return cv2.polylines(crop.copy(), list(lines), False, SKY, 1, cv2.LINE_AA)
