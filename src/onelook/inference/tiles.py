"""Tiles of large photos: small faces are detected and embedded at the resolution that they need.

    photo, 16,000 x 4,000 ─ shrink ─▶ level 0: 1280 x 320, one pass (with its octaves)
                          ─ shrink ─▶ level 1: 2560 x 640, tiles of 1280 x 640
                                      …
                                      level 4: the photo's own pixels, tiles of 1280 x 1280

- To find faces, the next level is predicted whole where nothing is found yet, or faces so small that others are missed.
- To embed them, a face that is small in the level where it was found is predicted again in the tiles that hold it, at
  the level where it is half of `face_size` or larger.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, log2
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from onelook.detections import Detections, concatenate
from onelook.geometry.boxes import box_sizes
from onelook.inference.detection_transforms import scale_detections, shift_detections
from onelook.inference.nms import nms
from onelook.inference.octaves import PredictImages
from onelook.inference.parallel import batched
from onelook.inference.resize import resize_to_longest_side

if TYPE_CHECKING:
    from onelook.settings import DetectSettings

SMALL_FACE = 32
"""A face that is smaller at level 0 is predicted again at a finer level, in pixels."""
TILES_AT_ONCE = 8
"""Tiles per call of the predictor: their maps take 0.3 GB."""
# Where faces below this size were found, others of that size were missed.
_TINY_FACE = 16


class Tile(NamedTuple):
    """A tile of an image, and the part of it whose faces it answers for.

    Attributes:
        rows: of the image that the tile covers.
        columns: of the image that the tile covers.
        core: (x1, y1, x2, y2) in pixels of the image; the cores of all tiles cover the plane without overlap.
    """

    rows: slice
    columns: slice
    core: tuple[float, float, float, float]

    def contains(self, boxes: np.ndarray) -> np.ndarray:
        """Return for boxes (n, 4) in pixels of the image whether their centers are in the core, (n,) bool."""
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        is_inside: np.ndarray = ((centers >= self.core[:2]) & (centers < self.core[2:])).all(1)
        return is_inside


def make_tiles(height: int, width: int, side: int, overlap: int) -> list[Tile]:
    """Cover an image with tiles of one shape.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        side: longest side of a tile.
        overlap: smallest overlap of neighboring tiles, less than `side`.
    """
    return [
        Tile(rows, columns, (left, top, right, bottom))
        for rows, (top, bottom) in _cover(height, side, overlap)
        for columns, (left, right) in _cover(width, side, overlap)
    ]


def predict_tiles(
    image: np.ndarray, found: Detections, detect: "DetectSettings", predict_images: PredictImages
) -> Detections:
    """Predict a large image at finer levels, as far as its small faces need it.

    Args:
        image: RGB uint8 (H, W, 3).
        found: the faces found at level 0, in pixels of the image.
        detect: `longest_side` is that of level 0 and of a tile; `face_size` and `nms` are those of the octaves.
        predict_images: predicts images of any sizes.

    Returns:
        All faces, best score first, in pixels of the image.
    """
    scales = _level_scales(max(image.shape[:2]), detect.longest_side)
    levels = np.zeros(len(found), np.int64)  # at which each face was seen
    for level in range(1, len(scales)):
        sizes = box_sizes(found.boxes)
        sizes_seen = sizes * scales[levels]
        is_whole = not len(found) or bool((sizes_seen[levels == level - 1] < _TINY_FACE).any())
        is_blurred = (sizes * scales[0] < SMALL_FACE) & (sizes_seen < detect.face_size / 2)
        is_wanted = is_blurred & ((sizes * scales[level] >= detect.face_size / 2) | (level == len(scales) - 1))
        if not is_whole and not is_wanted.any():
            continue
        at_level = resize_to_longest_side(image, round(max(image.shape[:2]) * scales[level]))
        overlap = min(2 * detect.face_size, detect.longest_side // 2)
        tiles = make_tiles(at_level.shape[0], at_level.shape[1], detect.longest_side, overlap)
        if not is_whole:
            wanted = scale_detections(found.take(is_wanted), image.shape, at_level.shape)
            tiles = [tile for tile in tiles if tile.contains(wanted.boxes).any()]
        new = scale_detections(_predict_level(at_level, tiles, detect, predict_images), at_level.shape, image.shape)
        found = concatenate([found, new])
        levels = np.concatenate([levels, np.full(len(new), level)])
        kept = _merge(found, box_sizes(found.boxes) * scales[levels], detect)
        found, levels = found.take(kept), levels[kept]
    return found


def _level_scales(longest: int, longest_side: int) -> np.ndarray:
    """Return the scale of each level (n,) float64, doubling up to the photo's own size, which is 1."""
    doublings = max(0, ceil(log2(longest / longest_side)))
    return np.minimum(1.0, longest_side * 2.0 ** np.arange(doublings + 1) / longest)


def _predict_level(
    image: np.ndarray, tiles: Sequence[Tile], detect: "DetectSettings", predict_images: PredictImages
) -> Detections:
    """Return the faces that the tiles of an image answer for, in pixels of the image."""
    sizes = (0.0, float(detect.face_size))
    parts = []
    for some in batched(tiles, TILES_AT_ONCE):
        predicted = predict_images([np.ascontiguousarray(image[tile.rows, tile.columns]) for tile in some], sizes)
        for detections, tile in zip(predicted, some, strict=True):
            small = detections.take(box_sizes(detections.boxes) <= detect.face_size)
            moved = shift_detections(small, tile.columns.start, tile.rows.start)
            parts.append(moved.take(tile.contains(moved.boxes)))
    return concatenate(parts)


def _cover(length: int, side: int, overlap: int) -> list[tuple[slice, tuple[float, float]]]:
    """Cover a length with equal intervals; return each with the part that it answers for."""
    if length <= side:
        return [(slice(0, length), (-np.inf, np.inf))]
    count = ceil((length - overlap) / (side - overlap))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    middles = [(after + before + side) / 2 for before, after in pairwise(starts)]
    cores = zip([-np.inf, *middles], [*middles, np.inf], strict=True)
    return [(slice(start, start + side), core) for start, core in zip(starts, cores, strict=True)]


def _merge(found: Detections, sizes_seen: np.ndarray, detect: "DetectSettings") -> np.ndarray:
    """Apply NMS in which the face that was seen larger survives, up to half of `face_size`, then the higher score.

    Returns:
        Indices (k,), best score first.
    """
    order = np.lexsort([-found.scores, -np.minimum(sizes_seen, detect.face_size / 2)])
    priority = np.empty(len(order), np.float32)
    priority[order] = np.arange(len(order), 0, -1)
    kept = nms(found.boxes, priority, detect.nms)
    return kept[np.argsort(-found.scores[kept], kind="stable")]
