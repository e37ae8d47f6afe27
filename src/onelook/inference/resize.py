"""Resize images to the network's size limit, and batch those of equal shape."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from onelook.detections import Detections

SizeRange = tuple[float, float]
"""Face sizes above the first and up to the second value, in pixels of the image."""
ALL_SIZES: SizeRange = (0.0, float("inf"))

PredictBatch = Callable[[np.ndarray, SizeRange], list[Detections]]
"""Maps a batch (B, H, W, 3), RGB uint8, to the detections of each image, in pixels of the batch.

Faces of sizes outside the range are detected, but need not be embedded."""


def predict_by_shape(
    images: Sequence[np.ndarray],
    predict_batch: PredictBatch,
    max_pixels: int | None = None,
    sizes: SizeRange = ALL_SIZES,
) -> list[Detections]:
    """Predict images of any sizes, in batches of one image shape.

    Args:
        images: RGB uint8 (H, W, 3).
        predict_batch: the forward pass.
        max_pixels: largest B H W of a batch of more than one image; None: all images of a shape are one batch.
        sizes: of the faces to embed.

    Returns:
        Detections per image, in pixels of the image.
    """
    indices_by_shape = defaultdict(list)
    for index, image in enumerate(images):
        indices_by_shape[image.shape].append(index)
    detections: dict[int, Detections] = {}
    for indices in _split_batches(indices_by_shape, max_pixels):
        # A single image becomes a batch without a copy.
        batch = images[indices[0]][None] if len(indices) == 1 else np.stack([images[index] for index in indices])
        detections.update(zip(indices, predict_batch(batch, sizes), strict=True))
    return [detections[index] for index in range(len(images))]


def resize_to_longest_side(image: np.ndarray, longest_side: int) -> np.ndarray:
    """Scale an image (H, W, 3) down until no side is longer than `longest_side` pixels."""
    height, width = image.shape[:2]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return image
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, shape, interpolation=cv2.INTER_AREA)


def _split_batches(
    indices_by_shape: Mapping[tuple[int, ...], list[int]], max_pixels: int | None
) -> Iterator[list[int]]:
    """Yield the indices of each batch of images."""
    for (height, width, _), indices in indices_by_shape.items():
        size = len(indices) if max_pixels is None else max(1, max_pixels // (height * width))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
