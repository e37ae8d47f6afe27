"""Resize images to the network's size limit, batch those of equal shape, and scale the detections back."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from onelook.detections import Detections


def predict_by_size(
    images: Sequence[np.ndarray],
    longest_side: int,
    predict_batch: Callable[[np.ndarray], list[Detections]],
    max_pixels: int | None = None,
) -> list[Detections]:
    """Predict images of any sizes, in batches of one image shape.

    Args:
        images: RGB uint8 (H, W, 3).
        longest_side: images with a longer side are scaled down to it, in pixels.
        predict_batch: maps a batch (B, H, W, 3) to the detections of each image, in pixels of the batch.
        max_pixels: largest B H W of a batch of more than one image; None: all images of a shape are one batch.

    Returns:
        Detections per image, in pixels of the image as given.
    """
    resized = [resize_to_longest_side(image, longest_side) for image in images]
    indices_by_shape = defaultdict(list)
    for index, image in enumerate(resized):
        indices_by_shape[image.shape].append(index)
    detections: dict[int, Detections] = {}
    for indices in _split_batches(indices_by_shape, max_pixels):
        # A single image becomes a batch without a copy.
        batch = resized[indices[0]][None] if len(indices) == 1 else np.stack([resized[index] for index in indices])
        for index, found in zip(indices, predict_batch(batch), strict=True):
            detections[index] = _scale_detections(found, resized[index], images[index])
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


def _scale_detections(detections: Detections, resized: np.ndarray, image: np.ndarray) -> Detections:
    """Scale detections from pixels of the resized image to pixels of the image as given."""
    if resized is image:
        return detections
    ratio = np.array([image.shape[1] / resized.shape[1], image.shape[0] / resized.shape[0]], np.float32)
    # The depth of a mesh scales with the width; the two ratios differ by less than a pixel.
    meshes = None if detections.meshes is None else detections.meshes * ratio[[0, 1, 0]]
    boxes, landmarks = detections.boxes * np.tile(ratio, 2), detections.landmarks * ratio
    return Detections(boxes, detections.scores, landmarks, detections.embeddings, meshes)
