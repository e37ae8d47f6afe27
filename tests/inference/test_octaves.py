"""Faces of every size are found and embedded alike, each in its octave."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch

from helpers.portraits import portrait
from onelook.detections import Detections, concatenate
from onelook.geometry.boxes import box_sizes, pairwise_iou
from onelook.inference.detection_transforms import scale_detections
from onelook.inference.nms import nms
from onelook.inference.octaves import assign_octaves, count_octaves, halve_image, predict_octaves
from onelook.inference.resize import ALL_SIZES, SizeRange, predict_by_shape
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
FACE_SIZE = 128


class SinglePass:
    """Predicts images in one pass each, and keeps their shapes."""

    def __init__(self, predictor: TorchPredictor) -> None:
        self.predictor = predictor
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, images: Sequence[np.ndarray], sizes: SizeRange = ALL_SIZES) -> list[Detections]:
        self.shapes += [image.shape[:2] for image in images]
        with torch.inference_mode():
            return predict_by_shape(
                images, lambda batch, sizes: self.predictor._predict_batch(batch, DETECT, sizes), sizes=sizes
            )


@pytest.fixture
def single_pass(released: TorchPredictor) -> SinglePass:
    return SinglePass(released)


def scene(*faces: tuple[int, int], height: int = 480, width: int = 640) -> np.ndarray:
    """Return an image of square portraits, each a left edge and a side."""
    image = np.full((height, width, 3), 127, np.uint8)
    for person, (x, side) in enumerate(faces, start=2):
        image[:side, x : x + side] = cv2.resize(portrait(person, 2), (side, side), interpolation=cv2.INTER_AREA)
    return image


def predict_every_octave(image: np.ndarray, predict: SinglePass) -> Detections:
    """Predict all octaves of an image, select each face by its size, and apply one NMS."""
    count = count_octaves(*image.shape[:2], FACE_SIZE)
    parts, fits, octave_image = [], [], image
    for octave in range(count):
        found = predict([octave_image])[0]
        sizes = box_sizes(found.boxes)
        low = 0 if octave == 0 else FACE_SIZE / 2
        high = np.inf if octave == count - 1 else FACE_SIZE
        is_taken = (sizes > low / 2**0.25) & (sizes <= high * 2**0.25)
        fits.append(((sizes > low) & (sizes <= high))[is_taken])
        parts.append(scale_detections(found.take(is_taken), octave_image.shape, image.shape))
        octave_image = halve_image(octave_image)
    merged = concatenate(parts)
    priority = merged.scores + np.concatenate(fits)
    kept = nms(merged.boxes, priority, DETECT.nms)
    return merged.take(kept[np.argsort(-merged.scores[kept])])


@pytest.mark.parametrize("faces", [[(0, 100)], [(0, 460), (470, 90)], [(0, 420), (430, 210)], []])
def test_the_octaves_that_are_needed_give_the_result_of_all(
    single_pass: SinglePass, faces: list[tuple[int, int]]
) -> None:
    image = scene(*faces)
    (found,) = predict_octaves([image], FACE_SIZE, DETECT.nms, single_pass)
    expected = predict_every_octave(image, single_pass)
    assert len(found) == len(expected) == len(faces)
    for name in ("boxes", "scores", "landmarks", "embeddings"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)


def test_only_the_octaves_of_the_faces_are_predicted(single_pass: SinglePass) -> None:
    predict_octaves([scene((0, 100), (200, 120))], FACE_SIZE, DETECT.nms, single_pass)
    assert single_pass.shapes == [(480, 640)]
    predict_octaves([scene((0, 460))], FACE_SIZE, DETECT.nms, single_pass)
    assert single_pass.shapes[1:] == [(480, 640), (240, 320)]


@pytest.mark.parametrize("factor", [1.5, 2, 3, 4.2])
def test_an_enlarged_photo_has_the_same_faces(single_pass: SinglePass, factor: float) -> None:
    image = scene((0, 150), (160, 200), height=220, width=380)
    enlarged = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    found, large = predict_octaves([image, enlarged], FACE_SIZE, DETECT.nms, single_pass)
    assert len(found) == len(large) == 2
    scaled = scale_detections(large, enlarged.shape, image.shape)
    overlaps = pairwise_iou(scaled.boxes, found.boxes)
    assert overlaps.max(1).min() > 0.85
    order = overlaps.argmax(1)
    similarities = (scaled.embeddings * found.embeddings[order]).sum(1)
    assert similarities.min() > (0.98 if factor == 2 else 0.9)


def test_batches_equal_single_images(single_pass: SinglePass) -> None:
    images = [scene((0, 460)), scene((0, 100)), scene(), scene((100, 300))]
    together = predict_octaves(images, FACE_SIZE, DETECT.nms, single_pass)
    assert [len(each) for each in together] == [1, 1, 0, 1]
    for image, found in zip(images, together, strict=True):
        (alone,) = predict_octaves([image], FACE_SIZE, DETECT.nms, single_pass)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(found.embeddings, alone.embeddings, atol=1e-4)


def test_octaves_by_hand() -> None:
    assert [count_octaves(side, 10, 128) for side in (1, 160, 161, 320, 640, 1280, 1281)] == [1, 1, 2, 2, 3, 4, 5]
    sizes = np.array([0, 5, 128, 129, 256, 257, 512, 5000], np.float32)
    assert assign_octaves(sizes, 128, 4).tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert assign_octaves(sizes, 128, 1).tolist() == [0] * 8
