"""MTCNN's cascade: against the published code, on batches, and on another device."""

import copy
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.facenet import detect_published
from helpers.pretend import kinds, watch
from onelook.inference.baseline_predictors import MtcnnPredictor
from onelook.inference.mtcnn_cascade import run_cascade
from onelook.model.mtcnn import Mtcnn
from onelook.model.public_mtcnn import load_public_mtcnn
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.7, longest_side=1280)


def photos() -> np.ndarray:
    """Return two photos (2, 200, 220, 3): a person, and the same one mirrored beside a smaller copy."""
    spec = find_spec("skimage")
    assert spec is not None and spec.origin is not None
    photo = cv2.imread(str(Path(spec.origin).parent / "data/astronaut.png"), cv2.IMREAD_COLOR_RGB)[:400, :440]
    first = cv2.resize(photo, (220, 200), interpolation=cv2.INTER_AREA)
    second = first[:, ::-1].copy()
    second[60:160, 110:] = cv2.resize(first, (110, 100), interpolation=cv2.INTER_AREA)
    return np.stack([first, second])


@pytest.mark.skipif(find_spec("facenet_pytorch") is None, reason="needs the facenet-pytorch wheel")
def test_the_published_weights_give_the_boxes_and_points_of_the_published_code(monkeypatch: pytest.MonkeyPatch) -> None:
    images = photos()
    expected = detect_published(images, monkeypatch)
    found = MtcnnPredictor(load_public_mtcnn()).predict(list(images), DETECT)
    assert [len(each) for each in found] == [len(boxes) for boxes, _ in expected]
    assert min(map(len, found)) > 0
    for each, (boxes, points) in zip(found, expected, strict=True):
        np.testing.assert_allclose(each.boxes, boxes[:, :4], rtol=0, atol=0.1)
        np.testing.assert_allclose(each.landmarks, points, rtol=0, atol=0.1)
        np.testing.assert_allclose(each.scores, boxes[:, 4], rtol=0, atol=1e-3)


@pytest.fixture
def accepting() -> Mtcnn:
    """Random networks that accept a part of the windows."""
    torch.manual_seed(3)
    mtcnn = Mtcnn().eval()
    with torch.no_grad():
        for network in mtcnn.networks:
            network.logits.weight *= 20
            network.logits.bias += torch.tensor([-0.5, 0.5])
    return mtcnn


@pytest.mark.parametrize("device", ["pretend", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_batch_on_another_device_gives_the_faces_of_single_images(device: str, accepting: Mtcnn) -> None:
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (48, 40)) for _ in range(2)]
    detect = DetectSettings(score=0.5)
    expected = MtcnnPredictor(accepting).predict(images, detect)
    assert min(map(len, expected)) > 0
    found = MtcnnPredictor(copy.deepcopy(accepting).to(device)).predict(images, detect)
    for each, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(each.boxes, reference.boxes, atol=0.01)
        np.testing.assert_allclose(each.landmarks, reference.landmarks, atol=0.01)
        assert np.all(np.diff(each.scores) <= 0) and each.embeddings.shape == (len(each), 0)


def test_the_waits_for_the_device_do_not_grow_with_the_images(accepting: Mtcnn) -> None:
    mtcnn = accepting.to("pretend")
    counts = []
    for images in (1, 2):
        pixels = torch.randint(0, 256, (images, 3, 24, 30), dtype=torch.uint8).to("pretend")
        with watch() as events:
            run_cascade(list(mtcnn.networks), pixels)
        counts.append(kinds(events).keys())
    assert counts[0] == counts[1] <= {"host", "shape"}


def test_an_image_smaller_than_a_window_has_no_faces(accepting: Mtcnn) -> None:
    (found,) = MtcnnPredictor(accepting).predict([np.zeros((10, 30, 3), np.uint8)], DETECT)
    assert len(found) == 0
