"""SCRFD: outputs decoded by hand, and the real detector on a photo at two scales."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from scrfd import SCRFD_500M, STRIDES, Scrfd, decode_scrfd


def empty_outputs(height: int, width: int) -> list[np.ndarray]:
    """Return outputs without a face: probabilities, distances and offsets by stride."""
    anchors = [2 * (height // stride) * (width // stride) for stride in STRIDES]
    return [np.zeros((1, count, length), np.float32) for length in (1, 4, 10) for count in anchors]


def test_outputs_are_decoded_as_by_hand() -> None:
    outputs = empty_outputs(64, 96)
    # Stride 16, 6 columns: anchor 2 * (1 * 6 + 4) + 1 is the second of row 1, column 4; its center is (64, 16).
    outputs[1][0, 21, 0], outputs[4][0, 21] = 0.9, (1, 0.5, 2, 1.5)
    outputs[7][0, 21] = (-0.5, 0, 0.5, 0, 0, 0.25, -0.5, 1, 0.5, 1)
    # Stride 8, 12 columns: row 3, column 0, center (0, 24).
    outputs[0][0, 72, 0], outputs[3][0, 72] = 0.6, (0, 1, 1, 2)
    # The first anchor of the first face's cell has nearly its box and falls to NMS; a third is below the score.
    outputs[1][0, 20, 0], outputs[4][0, 20] = 0.8, (1, 0.5, 2, 1.4)
    outputs[2][0, 0, 0], outputs[5][0, 0] = 0.4, (1, 1, 1, 1)
    found = decode_scrfd(outputs, (64, 96), 0.5)
    np.testing.assert_allclose(found.scores, [0.9, 0.6])
    np.testing.assert_allclose(found.boxes, [[48, 8, 96, 40], [0, 16, 8, 40]])
    np.testing.assert_allclose(found.landmarks[0], [[56, 16], [72, 16], [64, 20], [56, 32], [72, 32]])
    assert found.embeddings.shape == (2, 0)


def test_no_face_gives_empty_detections() -> None:
    found = decode_scrfd(empty_outputs(32, 32), (32, 32), 0.5)
    assert found.boxes.shape == (0, 4) and found.landmarks.shape == (0, 5, 2) and len(found) == 0


@pytest.mark.shared_data
def test_a_shrunk_photo_has_the_same_face(shared_data: Path) -> None:
    pytest.importorskip("onnxruntime")
    from onelook.data.image_io import read_image

    detector = Scrfd(shared_data / SCRFD_500M, 1)
    image = read_image(shared_data / "portraits/001_neutral.jpg")[:, 3:]  # sides that are no multiple of 32
    whole, shrunk = detector.detect(image), detector.detect(image, longest_side=200)
    assert len(whole) == len(shrunk) == 1
    np.testing.assert_allclose(shrunk.boxes, whole.boxes, atol=30)
    eyes, mouth = whole.landmarks[0, :2], whole.landmarks[0, 3:]
    assert eyes[0, 0] < whole.landmarks[0, 2, 0] < eyes[1, 0] and eyes[:, 1].max() < mouth[:, 1].min()
