"""Faces as the dense head tells them, beside the photo: whether they are the same, one has to see."""

from collections.abc import Iterable

import numpy as np
import torch

from onelook.drawing import draw_mesh, tile
from onelook.geometry.alignment import apply_transform, crop_square
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.dense_head import render_boxes
from onelook.settings import DetectSettings

_SIDE = 192
# The shown square in longer sides of the box: a face that is told too large must be seen to be.
_AROUND = 1.3
_COLUMNS = 9
_GAP = 4


def draw_renderings(
    looker: TorchPredictor, photos: Iterable[np.ndarray], detect: DetectSettings, faces: int
) -> np.ndarray:
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


def _cells(looker: TorchPredictor, photo: np.ndarray, detect: DetectSettings) -> list[np.ndarray]:
    """Three pictures of each face."""
    boxes, told = looker.predict_dense(photo, detect)
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    squares = torch.cat([middles - halves * _AROUND, middles + halves * _AROUND], 1)
    pictures, masks = render_boxes(told, squares, _SIDE)
    cells = []
    for box, picture, mask, mesh in zip(boxes.numpy(), pictures, masks, told.vertices.numpy(), strict=True):
        crop, transform = crop_square(photo, box, _AROUND, _SIDE)
        rendered = np.where(mask.numpy()[..., None], (picture.clip(0, 1) * 255).round().byte().numpy(), crop)
        cells += [crop, rendered, draw_mesh(crop, apply_transform(transform, mesh[:, :2]))]
    return cells
