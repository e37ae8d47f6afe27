"""Benchmark of FacePoseNet: differences of accuracies, degradations, and faces at several kinds of points."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from face_pose import OWN, SMALL_FACE, Systems, accuracy_difference, blur, pair_rows, rigid_error, shrink
from pair_metrics import Pairs

from onelook.data.detection_scenes import DetectionImage
from onelook.data.manifest import Face
from onelook.detections import Detections
from onelook.geometry.face_pose import mean_points, project_poses

SAME = np.array([True, True, False, False] * 2)
PEOPLE = np.array([[i, i] if same else [i, i + 8] for i, same in enumerate(SAME)])
PAIRS = Pairs(np.arange(16).reshape(8, 2), SAME, np.array([1, 1, 1, 1, 2, 2, 2, 2]), PEOPLE)


def test_the_difference_of_two_accuracies_is_that_of_the_same_pairs() -> None:
    perfect = np.where(SAME, 0.9, 0.1)
    wrong = perfect.copy()
    wrong[[0, 5]] = np.nan
    difference = accuracy_difference(wrong, perfect, PAIRS)
    assert difference.value == -2 / 8 and difference.low < -2 / 8 < difference.high
    assert accuracy_difference(perfect, perfect, PAIRS) == (0, 0, 0)


def test_the_rows_of_a_set_name_their_points_and_the_missing_faces() -> None:
    embeddings = np.tile(np.eye(8, dtype=np.float32)[np.arange(16) // 2], (2, 1, 1))
    embeddings[:, 3] = np.nan
    rows = pair_rows("set", [OWN, "other"], embeddings, PAIRS)
    assert [row["points"] for row in rows] == [OWN, "other"]
    assert rows[0]["accuracy − own points"] == "–" and rows[1]["accuracy − own points"].startswith("0.000")
    assert rows[0]["not found"] == "1 of 16"


def test_a_photo_is_shrunk_to_its_face_and_never_enlarged() -> None:
    image = np.zeros((90, 120, 3), np.uint8)
    small, factor = shrink(image, 3 * SMALL_FACE)
    assert factor == pytest.approx(1 / 3) and small.shape == (30, 40, 3)
    assert shrink(image, 10)[1] == 1


def test_blur_grows_with_the_face() -> None:
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    spread = [np.count_nonzero(blur(image, size)[0]) for size in (10.0, 60.0)]
    assert spread[0] < spread[1]


def test_a_rigid_face_has_no_error_at_points_of_its_own_shape() -> None:
    pose = torch.tensor([[0.1, 0.4, -0.2, 60.0, 70.0, 3.0]], dtype=torch.float64)
    points = project_poses(pose, torch.from_numpy(mean_points()))[0].numpy()
    photo = DetectionImage(Path("x"), "test", (Face(np.zeros(4), points),), np.zeros((0, 4)), "", "")
    assert rigid_error([photo], mean_points()) == pytest.approx(0, abs=1e-4)
    longer = mean_points() * (1, 1.1, 1)
    assert rigid_error([photo], longer) > 0.01


def test_a_face_is_embedded_at_all_points() -> None:
    """The network embeds a face as the place of its nose."""

    class Network:
        def predict(self, images: list[np.ndarray], detect: Any, *, embed: bool) -> list[Detections]:
            boxes = np.array([[10, 10, 30, 30], [40, 40, 60, 60]], np.float32)
            points = boxes[:, None, :2].repeat(5, 1)
            return [Detections(boxes, np.ones(2), points, np.zeros((2, 0)))]

        def embed(self, image: np.ndarray, landmarks: np.ndarray, detect: Any) -> np.ndarray:
            return landmarks[:, 2]

    class Centers:
        def predict(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return ((boxes[:, None, :2] + boxes[:, None, 2:]) / 2).repeat(5, 1)

    network: Any = Network()
    other: Any = Centers()
    systems = Systems(network, {"centers": other})
    embedded = systems.embed(np.zeros((100, 100, 3), np.uint8))
    assert embedded is not None and embedded.tolist() == [[40, 40], [50, 50]]
    assert systems.face_size(np.zeros((100, 100, 3), np.uint8)) == 20
