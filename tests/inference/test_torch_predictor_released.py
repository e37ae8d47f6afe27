"""Predictions of the released weights on people they were not trained on: the ORL portraits."""

import numpy as np
import pytest

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


@pytest.fixture(scope="module")
def predictor() -> TorchPredictor:
    return load_torch_predictor(RELEASED)


def portrait(person: int, number: int) -> np.ndarray:
    """Return an ORL portrait, upscaled as `prepare` does it."""
    source = next(p for p in read_orl().images if p.path.parts[-2:] == (f"s{person}", f"{number}.pgm"))
    return upscale_image(source.read(), 2.0).image


def embedding(predictor: TorchPredictor, person: int, number: int) -> np.ndarray:
    found = predictor.predict([portrait(person, number)], DETECT)[0]
    assert len(found) == 1
    return found.embeddings[0]


def test_orl_identities_are_recognized(predictor: TorchPredictor) -> None:
    """Enroll one portrait of twenty people; at most 3 of 60 other portraits are misidentified."""
    enrolled = np.array([embedding(predictor, person, 1) for person in range(1, 21)])
    right = sum(
        int(np.argmax(enrolled @ embedding(predictor, person, number)) == person - 1)
        for person in range(1, 21)
        for number in (3, 6, 9)
    )
    assert right >= 57


def test_detections_equal_those_of_the_public_detector(predictor: TorchPredictor) -> None:
    images = [np.concatenate([portrait(person, 1), portrait(person + 1, 2)], axis=1) for person in (1, 5, 9)]
    for found, public in zip(
        predictor.predict(images, DETECT, embed=False),
        public_detector().predict(images, DETECT, embed=False),
        strict=True,
    ):
        assert len(found) == len(public) == 2
        np.testing.assert_allclose(found.boxes, public.boxes, atol=0.05)
        np.testing.assert_allclose(found.landmarks, public.landmarks, atol=0.05)
