import cv2
import numpy as np
import pytest

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.detections import Detections
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.test_time_augmentation import box_voting, flip_detections, predict_multiscale
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.1, nms=0.4, longest_side=64)  # its longest side must not matter


@pytest.fixture(scope="module")
def predictor() -> TorchPredictor:
    return public_detector()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Two people side by side, 300 x 500."""
    portraits = read_orl().images
    return np.concatenate(
        [cv2.resize(upscale_image(portraits[i].read(), 2.0).image, (250, 300)) for i in (0, 55)], axis=1
    )


def test_flipping_detections_twice_restores_them() -> None:
    landmarks = np.array([[[10, 20], [30, 21], [22, 30], [12, 40], [31, 42]]], np.float32)
    found = Detections(np.array([[5, 6, 40, 50]], np.float32), np.ones(1), landmarks, np.zeros((1, 0)))
    mirrored = flip_detections(found, 100)
    assert mirrored.boxes.tolist() == [[60, 6, 95, 50]]
    assert mirrored.landmarks.tolist() == [[[70, 21], [90, 20], [78, 30], [69, 42], [88, 40]]]
    twice = flip_detections(mirrored, 100)
    assert twice.boxes.tolist() == found.boxes.tolist() and twice.landmarks.tolist() == landmarks.tolist()
    assert found.boxes.tolist() == [[5, 6, 40, 50]]


def test_single_scale_merges_the_image_and_its_flip(predictor: TorchPredictor, image: np.ndarray) -> None:
    at_its_size = DETECT.model_copy(update={"longest_side": 500})
    plain = predictor.predict([image], at_its_size, embed=False)[0]
    mirrored = predictor.predict([np.ascontiguousarray(image[:, ::-1])], at_its_size, embed=False)[0]
    expected = box_voting([plain, flip_detections(mirrored, 500)], DETECT.nms, 0.4)
    found = predict_multiscale(predictor, image, DETECT, [500], voting=0.4)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=1e-2)


def test_flipped_image_gives_flipped_detections(predictor: TorchPredictor, image: np.ndarray) -> None:
    found = predict_multiscale(predictor, image, DETECT, [500, 1000], voting=0.4)
    mirrored = predict_multiscale(predictor, np.ascontiguousarray(image[:, ::-1]), DETECT, [500, 1000], voting=0.4)
    expected = flip_detections(mirrored, 500)
    assert len(found) == len(expected) >= 2
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.5)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-2)


@pytest.mark.parametrize("side", [250, 500, 900])
def test_boxes_are_in_pixels_of_the_image_at_every_scale(
    predictor: TorchPredictor, image: np.ndarray, side: int
) -> None:
    found = predict_multiscale(predictor, image, DETECT, [side], voting=0.4).above(0.9)
    reference = predictor.predict([image], DETECT.model_copy(update={"longest_side": 500}), embed=False)[0].above(0.9)
    assert len(found) == len(reference) == 2
    overlaps = pairwise_iou(found.boxes, reference.boxes)
    assert overlaps.max(axis=1).min() > 0.8
    nearest = reference.landmarks[overlaps.argmax(axis=1)]
    assert np.abs(found.landmarks - nearest).max() < 15
    assert found.embeddings.shape == (2, 0) and found.boxes.dtype == np.float32


def test_blank_image_has_no_detections(predictor: TorchPredictor) -> None:
    assert len(predict_multiscale(predictor, np.zeros((48, 64, 3), np.uint8), DETECT, [64, 128], voting=0.4)) == 0
