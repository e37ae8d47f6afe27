"""Renderings of the dense head beside the photo, for comparison by eye."""

from collections.abc import Iterable

import numpy as np
import torch

from onelook.drawing import draw_mesh, tile_images
from onelook.geometry.alignment import apply_transform, crop_square
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.dense_head import render_boxes
from onelook.settings import DetectSettings

_SIDE = 192
# Side of the cropped square in longer sides of the box; the margin shows a face that is reconstructed too large.
_EXTENT = 1.3
_COLUMNS = 9
_GAP = 4


def draw_renderings(
    predictor: TorchPredictor, images: Iterable[np.ndarray], detect: DetectSettings, faces: int
) -> np.ndarray:
    """Draw a sheet of faces: each cropped, rendered over the crop, and its mesh.

    Args:
        predictor: with a dense head.
        images: RGB uint8 (H, W, 3), read until there are enough faces.
        detect: detection settings.
        faces: maximum number of faces.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ModelError: the network has no dense head.
    """
    cells: list[np.ndarray] = []
    for image in images:
        if len(cells) >= 3 * faces:
            break
        cells += _draw_cells(predictor, image, detect)
    cells = cells[: 3 * faces]
    cells += [np.full((_SIDE, _SIDE, 3), 255, np.uint8)] * (-len(cells) % _COLUMNS)
    return tile_images(cells, _COLUMNS, _COLUMNS * (_SIDE + _GAP) + _GAP)


def _draw_cells(predictor: TorchPredictor, image: np.ndarray, detect: DetectSettings) -> list[np.ndarray]:
    """Draw three cells for each face: crop, rendering, mesh."""
    boxes, dense_faces = predictor.predict_dense(image, detect)
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    half_sides = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    squares = torch.cat([centers - half_sides * _EXTENT, centers + half_sides * _EXTENT], 1)
    pictures, masks = render_boxes(dense_faces, squares, _SIDE)
    cells = []
    for box, picture, mask, mesh in zip(boxes.numpy(), pictures, masks, dense_faces.vertices.numpy(), strict=True):
        crop, transform = crop_square(image, box, _EXTENT, _SIDE)
        rendered = np.where(mask.numpy()[..., None], (picture.clip(0, 1) * 255).round().byte().numpy(), crop)
        cells += [crop, rendered, draw_mesh(crop, apply_transform(transform, mesh[:, :2]))]
    return cells
