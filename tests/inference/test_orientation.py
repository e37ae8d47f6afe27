"""Faces of a photo that lies on its side get the embeddings of the upright photo."""

import cv2
import numpy as np
import pytest

from helpers.portraits import portrait
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.inference.detection_transforms import rotate_detections
from onelook.inference.orientation import quarter_turns
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    return np.concatenate([portrait(2, 1), portrait(9, 3)], axis=1)  # 336 x 592, faces of about 160 pixels


@pytest.mark.parametrize("turns", [1, 3])
def test_a_sideways_photo_equals_the_upright_one(released: TorchPredictor, people: np.ndarray, turns: int) -> None:
    expected = released.predict([people], DETECT)[0]
    sideways = np.ascontiguousarray(np.rot90(people, turns))
    found = rotate_detections(released.predict([sideways], DETECT)[0], -turns, sideways.shape)
    assert len(found) == len(expected) == 2
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=1e-2)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-4)


def test_a_sideways_photo_of_small_faces_equals_the_upright_one(released: TorchPredictor, people: np.ndarray) -> None:
    small = cv2.resize(people, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    expected = released.predict([small], DETECT)[0]
    sideways = np.ascontiguousarray(np.rot90(small))
    found = released.predict([sideways], DETECT)[0]
    assert len(found) == len(expected) == 2
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-4)


def test_quarter_turns_by_hand() -> None:
    upright = REFERENCE_LANDMARKS[None]
    clockwise = np.stack([112 - upright[..., 1], upright[..., 0]], -1)
    faces = np.concatenate([upright, clockwise, 112 - upright, 112 - clockwise])
    assert quarter_turns(faces).tolist() == [0, 1, 2, 3]
    assert quarter_turns(faces[:0]).shape == (0,)
