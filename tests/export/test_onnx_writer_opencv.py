"""Exported files in OpenCV's ONNX reader, without onnxruntime."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.portraits import group
from onelook.data.image_io import decode_image
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

OUTPUTS = ("images", "boxes", "scores", "landmarks", "embeddings")


@pytest.mark.parametrize("people", [[(2, 1)], [(2, 1), (9, 3), (17, 5)]], ids=["one face", "three"])
@pytest.mark.parametrize("copies", [1, 2])
def test_opencv_matches_torch(
    released: TorchPredictor, exported: Path, people: list[tuple[int, int]], copies: int
) -> None:
    photo = decode_image(group(*people), "group")
    net = cv2.dnn.readNetFromONNX(str(exported))
    net.setInput(np.stack([photo] * copies), "photos")
    net.setInput(np.array([0.5], np.float32), "score")
    net.setInput(np.array([0.4], np.float32), "nms")
    image_indices, *faces = net.forward(OUTPUTS)
    expected = released.predict([photo], DetectSettings(score=0.5, nms=0.4, longest_side=1280, face_size=8192))[0]
    assert len(expected) == len(people)
    assert image_indices.tolist() == sorted([*range(copies)] * len(people))
    for name, values in zip(OUTPUTS[1:], faces, strict=True):
        wanted = np.concatenate([getattr(expected, name)] * copies)
        np.testing.assert_allclose(values, wanted, atol=2e-4 if name in ("boxes", "landmarks") else 2e-5)
