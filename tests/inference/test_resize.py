"""Batches of images of one shape, in the order of the images."""

import numpy as np
import pytest

from onelook.detections import Detections
from onelook.inference.resize import ALL_SIZES, SizeRange, predict_by_shape


def detect_brightness(batch: np.ndarray) -> list[Detections]:
    """Detect one face in each image, whose score is the value of its first pixel."""
    rows = np.zeros((1, 4), np.float32), np.zeros((1, 5, 2), np.float32), np.zeros((1, 0), np.float32)
    return [Detections(rows[0], image[0, 0, :1].astype(np.float32), *rows[1:]) for image in batch]


@pytest.mark.parametrize(
    ("max_pixels", "shapes"),
    [
        (None, [(5, 4, 6), (2, 10, 2)]),
        (2 * 24, [(2, 4, 6), (2, 4, 6), (1, 4, 6), (2, 10, 2)]),
        (2 * 24 - 1, [(1, 4, 6)] * 5 + [(2, 10, 2)]),
        (1, [(1, 4, 6)] * 5 + [(1, 10, 2)] * 2),
    ],
)
def test_a_batch_has_at_most_max_pixels(max_pixels: int | None, shapes: list[tuple[int, int, int]]) -> None:
    images = [np.full((10, 2, 3) if i in (1, 4) else (4, 6, 3), i, np.uint8) for i in range(7)]
    batches: list[tuple[int, ...]] = []

    def predict_batch(batch: np.ndarray, sizes: SizeRange) -> list[Detections]:
        assert sizes == ALL_SIZES
        batches.append(batch.shape[:3])
        return detect_brightness(batch)

    found = predict_by_shape(images, predict_batch, max_pixels)
    assert [float(each.scores[0]) for each in found] == list(range(7))
    assert batches == shapes
