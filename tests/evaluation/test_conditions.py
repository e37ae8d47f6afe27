from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.image_io import write_image
from onelook.data.manifest import Face, Manifest, Scene
from onelook.detections import Detections
from onelook.evaluation.conditions import condition_metrics, measure_conditions
from onelook.evaluation.identification import run_trials
from onelook.evaluation.split_predictions import SplitDetections
from onelook.geometry.alignment import REFERENCE_LANDMARKS

# A sharp clear face; the same blurred; a dark one; two faces of which each covers a tenth of the other; a small one.
BOXES = np.array(
    [
        [0, 0, 60, 60],
        [100, 0, 160, 60],
        [200, 0, 260, 60],
        [0, 100, 60, 160],
        [54, 100, 114, 160],
        [200, 100, 230, 130],
    ],
    np.float32,
)


def face(box: np.ndarray, name: str) -> Face:
    points = (REFERENCE_LANDMARKS / 112 * (box[2] - box[0]) + box[:2]).astype(np.float32)
    return Face(box, points, identity=name)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    image = np.random.default_rng(0).integers(60, 256, (200, 300, 3), dtype=np.uint8)
    image[:, 90:180] = cv2.GaussianBlur(image, (0, 0), 8)[:, 90:180]
    image[0:70, 190:] //= 5
    write_image(tmp_path / "a.png", image)
    faces = tuple(face(box, f"p{i}") for i, box in enumerate(BOXES))
    return Manifest(tmp_path, (Scene("a.png", 300, 200, "test", "scene", faces, "", ""),))


def test_conditions_are_measured(manifest: Manifest) -> None:
    (masks,) = measure_conditions(manifest, manifest.scenes, 48)
    rows = {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}
    assert rows == {"low_resolution": [5], "blurred": [1], "dark": [2], "occluded": [3, 4], "clear": [0]}


def test_metrics_are_those_of_the_faces_in_each_condition_by_hand(manifest: Manifest) -> None:
    """The dark face is missed, the blurred one is found with points six pixels away and taken for someone else."""
    found = np.array([0, 1, 3, 4, 5])
    points = np.stack([manifest.scenes[0].faces[i].landmarks for i in found])
    points[1] += [6, 0]
    detected = Detections(BOXES[found], np.linspace(0.9, 0.6, 5), points, np.zeros((5, 0)))
    detections = SplitDetections(list(manifest.scenes), [detected])
    similarities = np.eye(6)
    similarities[1, 0] = 2
    similarities[2] = -np.inf
    trials = run_trials(similarities, np.arange(6), np.arange(6), np.full(6, 60.0))
    conditions = measure_conditions(manifest, manifest.scenes, 48)
    metrics = condition_metrics(conditions, detections, detections.landmark_errors(0.5, 0.5), trials)
    assert metrics["clear"] == {"faces": 1, "ap50": 1, "nme": 0, "rank1": 1}
    assert metrics["dark"] == {"faces": 1, "ap50": 0, "rank1": 0}, "a missed face has no landmark error"
    assert metrics["blurred"] == pytest.approx({"faces": 1, "ap50": 1, "nme": 0.1, "rank1": 0}, abs=1e-6)
    assert metrics["occluded"] == {"faces": 2, "ap50": 1, "nme": 0, "rank1": 1}
    without = condition_metrics(conditions, detections, detections.landmark_errors(0.5, 0.5), None)
    assert without["clear"].keys() == {"faces", "ap50", "nme"}
