import warnings

import cv2
import numpy as np
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.geometry.anchors import AnchorOutputs
from onelook.geometry.boxes import encode_boxes, encode_landmarks, pairwise_iou
from onelook.inference.decoding import decode_image_outputs
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.pretrained import build_pretrained
from onelook.settings import DetectSettings

EMBEDDING = tiny_embedding(16, grid=28)
DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)


@pytest.fixture(scope="module")
def looker() -> TorchPredictor:
    torch.manual_seed(0)
    model = light_model(EMBEDDING, start="wheel")
    return TorchPredictor(build_pretrained(model))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Two people side by side, 300 x 500."""
    portraits = read_orl().portraits
    pictures = [cv2.resize(upscale_image(portraits[i].read(), 2.0).image, (250, 300)) for i in (0, 55)]
    return np.concatenate(pictures, axis=1)


def test_it_finds_both_people_and_their_points_lie_where_faces_have_them(
    looker: TorchPredictor, photo: np.ndarray
) -> None:
    found = looker.predict([photo], DETECT)[0]
    assert len(found) == 2 and found.embeddings.shape == (2, 16)
    assert found.scores[0] >= found.scores[1] > 0.9
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, rtol=1e-5)
    for box, (left_eye, right_eye, nose, left_mouth, right_mouth) in zip(found.boxes, found.landmarks, strict=True):
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert left_eye[1] < nose[1] < left_mouth[1]
        assert (box[:2] < left_eye).all() and (right_mouth < box[2:]).all()


def test_a_batch_of_any_sizes_gives_what_each_photo_gives_alone(looker: TorchPredictor, photo: np.ndarray) -> None:
    photos = [photo, photo[:, :250], np.ascontiguousarray(photo[:, ::-1]), photo[:40, :30]]
    together = looker.predict(photos, DETECT)
    for one, given in zip(photos, together, strict=True):
        alone = looker.predict([one], DETECT)[0]
        np.testing.assert_allclose(given.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(given.embeddings, alone.embeddings, atol=1e-4)
    assert len(together[3]) == 0


def test_a_photo_over_the_longest_side_gives_boxes_in_its_own_pixels(looker: TorchPredictor, photo: np.ndarray) -> None:
    large = cv2.resize(photo, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    small = looker.predict([photo], DETECT)[0]
    found = looker.predict([large], DETECT.model_copy(update={"longest_side": 500}))[0]
    assert len(found) == 2
    assert pairwise_iou(found.boxes / 4, small.boxes).max(axis=1).min() > 0.85


def test_embeddings_of_given_landmarks_are_those_of_the_look(looker: TorchPredictor, photo: np.ndarray) -> None:
    found = looker.predict([photo], DETECT)[0]
    np.testing.assert_allclose(looker.embed(photo, found.landmarks), found.embeddings, atol=1e-4)


def test_without_embedding_there_are_no_columns(looker: TorchPredictor, photo: np.ndarray) -> None:
    assert looker.predict([photo], DETECT, embed=False)[0].embeddings.shape == (2, 0)
    assert len(looker.predict([np.zeros((64, 64, 3), np.uint8)], DETECT)[0]) == 0


def test_doubles_are_suppressed_and_scores_sorted() -> None:
    anchors = torch.tensor([[20.0, 20.0, 16.0, 16.0], [21.0, 20.0, 16.0, 16.0], [80.0, 80.0, 32.0, 32.0]])
    boxes = torch.tensor([[10.0, 10.0, 30.0, 30.0], [11.0, 10.0, 31.0, 30.0], [60.0, 60.0, 100.0, 100.0]])
    points = torch.rand(3, 5, 2) * 50
    logits = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 3.0]])
    outputs = AnchorOutputs(logits[None], encode_boxes(boxes, anchors)[None], encode_landmarks(points, anchors)[None])
    kept_boxes, scores, landmarks, rows = decode_image_outputs(outputs, 0, anchors, score=0.5, nms=0.4)
    np.testing.assert_allclose(kept_boxes, boxes[[2, 0]], rtol=1e-5)
    np.testing.assert_allclose(scores, torch.sigmoid(torch.tensor([3.0, 2.0])), rtol=1e-6)
    np.testing.assert_allclose(landmarks, points[[2, 0]], rtol=1e-5)
    assert rows.tolist() == [2, 0]
    assert len(decode_image_outputs(outputs, 0, anchors, score=0.97, nms=0.4)[0]) == 0


def test_a_photo_that_cannot_be_written_to_is_looked_at_without_a_warning(
    looker: TorchPredictor, photo: np.ndarray
) -> None:
    kept = photo.copy()
    kept.setflags(write=False)
    torch.set_warn_always(True)  # else the warning would be told once in a process, maybe in another test
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (found,) = looker.predict([kept], DETECT)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(found.boxes, looker.predict([photo], DETECT)[0].boxes)
