"""Points of found faces: boxes in a photo, and a batch of faces as each face alone."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from onelook.detections import Detections
from onelook.inference.landmark_cascade import CascadePointsPredictor, LandmarkPredictor
from onelook.model.cfan import build_cfan
from onelook.model.landmark_cascade import LandmarkCascade, Level
from onelook.settings import DetectSettings

BOXES = np.array([[10, 20, 50, 100], [60, 5, 90, 35]], np.float32)


class Center(Level):
    """Places all points at one place of the square."""

    def estimates(self, inputs: Tensor, points: Tensor) -> Tensor:
        return torch.tensor([0.25, 0.5]).expand(len(inputs), 1, 5, 2)


def test_points_are_in_pixels_of_the_photo() -> None:
    predictor = LandmarkPredictor(LandmarkCascade([Center()]))
    image = np.zeros((120, 100, 3), np.uint8)
    points = predictor.predict(image, BOXES)
    # The square of the first box has its center at (30, 60) and a side of 80.
    assert points[:, 0].tolist() == [[10, 60], [67.5, 20]]
    assert predictor.predict(image, BOXES[:0]).shape == (0, 5, 2)


class FakeNetwork:
    """Finds both boxes, and embeds a face as the place of its nose in the image that it gets."""

    min_batch_size = 3

    def predict(self, images: list[np.ndarray], detect: DetectSettings, *, embed: bool) -> list[Detections]:
        assert not embed
        return [Detections(BOXES, np.ones(2), np.zeros((2, 5, 2)), np.zeros((2, 0)))] * len(images)

    def embed(self, image: np.ndarray, landmarks: np.ndarray, detect: DetectSettings) -> np.ndarray:
        assert max(image.shape) <= detect.longest_side
        return landmarks[:, 2]


def test_faces_are_embedded_at_the_points_of_the_cascade() -> None:
    network: Any = FakeNetwork()
    predictor = CascadePointsPredictor(network, LandmarkPredictor(LandmarkCascade([Center()])))
    image = np.zeros((120, 100, 3), np.uint8)
    whole, half = (predictor.predict([image], DetectSettings(longest_side=side))[0] for side in (120, 64))
    assert whole.landmarks[:, 0].tolist() == half.landmarks[:, 0].tolist() == [[10, 60], [67.5, 20]]
    assert whole.embeddings.tolist() == [[10, 60], [67.5, 20]]
    np.testing.assert_allclose(half.embeddings, whole.embeddings * (53 / 100, 64 / 120))
    assert predictor.min_batch_size == 3
    assert predictor.predict([image], DetectSettings(), embed=False)[0].embeddings.shape == (2, 0)


def test_faces_of_a_batch_are_independent() -> None:
    torch.manual_seed(0)
    predictor = LandmarkPredictor(build_cfan())
    image = np.random.default_rng(0).integers(0, 256, (120, 100, 3), dtype=np.uint8)
    together = predictor.predict_levels(image, BOXES)
    assert together.shape == (4, 2, 5, 2)
    for row, box in enumerate(BOXES):
        np.testing.assert_allclose(predictor.predict_levels(image, box[None])[:, 0], together[:, row], atol=1e-3)
