"""Frames of painted squares, and a predictor that detects each color as one person without a network."""

import numpy as np

from helpers.coded_faces import SIZE, CodedPredictor, make_embedding
from onelook.detections import Detections
from onelook.geometry.alignment import CROP_SIZE, REFERENCE_LANDMARKS

# Colors that survive lossy compression; the index of a color is the identity.
COLORS = np.array([[0, 0, 0], [230, 20, 20], [20, 230, 20], [20, 20, 230], [230, 230, 20]], np.int64)
SIDE = 40
HEIGHT, WIDTH = 120, 320


class PaintedPredictor(CodedPredictor):
    """A predictor that detects colored squares, each color a person; large squares are another variant of it."""

    def _decode(self, image: np.ndarray) -> Detections:
        distances = ((image[:, :, None].astype(np.int64) - COLORS) ** 2).sum(axis=-1)
        identities = distances.argmin(axis=-1)
        boxes, rows = [], []
        for identity in range(1, len(COLORS)):
            inside = np.argwhere(identities == identity)
            if len(inside) > SIDE * SIDE / 3:
                low, high = inside.min(axis=0), inside.max(axis=0) + 1
                boxes.append([low[1], low[0], high[1], high[0]])
                rows.append(make_embedding(identity, int(high[0] - low[0] > 1.5 * SIDE)))
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)
        return Detections(
            boxes=corners,
            scores=np.full(len(rows), 0.99, np.float32),
            landmarks=corners[:, None, :2] + REFERENCE_LANDMARKS * (SIDE / CROP_SIZE),
            embeddings=np.asarray(rows, np.float32).reshape(len(rows), SIZE),
        )


def paint(*squares: tuple[int, float, float], side: int = SIDE) -> np.ndarray:
    """Paint a frame with squares, each given as (identity, left, top)."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for identity, left, top in squares:
        frame[round(top) : round(top) + side, round(left) : round(left) + side] = COLORS[identity]
    return frame
