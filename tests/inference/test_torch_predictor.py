import warnings

import cv2
import numpy as np
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained
from onelook.settings import DetectSettings

EMBEDDING = tiny_embedding(16, grid_size=28)
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)


@pytest.fixture(scope="module")
def predictor() -> TorchPredictor:
    torch.manual_seed(0)
    model = light_model(EMBEDDING, init="wheel")
    return TorchPredictor(build_pretrained(model))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Two people side by side, 300 x 500."""
    portraits = read_orl().images
    pictures = [cv2.resize(upscale_image(portraits[i].read(), 2.0).image, (250, 300)) for i in (0, 55)]
    return np.concatenate(pictures, axis=1)


def test_detects_both_faces_with_plausible_landmarks(predictor: TorchPredictor, image: np.ndarray) -> None:
    found = predictor.predict([image], DETECT)[0]
    assert len(found) == 2 and found.embeddings.shape == (2, 16)
    assert found.scores[0] >= found.scores[1] > 0.9
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-5)
    for box, (left_eye, right_eye, nose, left_mouth, right_mouth) in zip(found.boxes, found.landmarks, strict=True):
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]
        assert (box[:2] < left_eye).all() and (right_mouth < box[2:]).all()


def test_batch_of_mixed_sizes_equals_single_images(predictor: TorchPredictor, image: np.ndarray) -> None:
    images = [image, image[:, :250], np.ascontiguousarray(image[:, ::-1]), image[:40, :30]]
    batch = predictor.predict(images, DETECT)
    for one, given in zip(images, batch, strict=True):
        alone = predictor.predict([one], DETECT)[0]
        np.testing.assert_allclose(given.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(given.embeddings, alone.embeddings, atol=1e-4)
    assert len(batch[3]) == 0


def test_boxes_of_a_downscaled_image_are_in_its_own_pixels(predictor: TorchPredictor, image: np.ndarray) -> None:
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    small = predictor.predict([image], DETECT)[0]
    found = predictor.predict([large], DETECT.model_copy(update={"longest_side": 500}))[0]
    assert len(found) == 2
    assert pairwise_iou(found.boxes / 4, small.boxes).max(axis=1).min() > 0.85


def test_embed_at_predicted_landmarks_equals_predict(predictor: TorchPredictor, image: np.ndarray) -> None:
    found = predictor.predict([image], DETECT)[0]
    np.testing.assert_allclose(predictor.embed(image, found.landmarks, DETECT), found.embeddings, atol=1e-4)


def test_embeddings_are_empty_without_embed_or_faces(predictor: TorchPredictor, image: np.ndarray) -> None:
    assert predictor.predict([image], DETECT, embed=False)[0].embeddings.shape == (2, 0)
    assert len(predictor.predict([np.zeros((64, 64, 3), np.uint8)], DETECT)[0]) == 0


def test_read_only_image_raises_no_warning(predictor: TorchPredictor, image: np.ndarray) -> None:
    read_only = image.copy()
    read_only.setflags(write=False)
    torch.set_warn_always(True)  # else the warning is shown once per process, maybe in another test
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (found,) = predictor.predict([read_only], DETECT)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(found.boxes, predictor.predict([image], DETECT)[0].boxes)
