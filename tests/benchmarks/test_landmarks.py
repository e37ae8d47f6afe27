"""The landmark benchmark: matched faces, kinds of points, errors by hand, and a resumed training."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

import landmark_systems
from landmark_photos import (
    MarkedPhoto,
    TrainingFaces,
    crop_training_faces,
    detect_marked,
    open_training_faces,
    repeat_complete,
    without_nose,
)
from landmark_recognition import embed_photos
from landmark_systems import JOINT, MEAN_FACE, MODELS, SHIFTED, PointSystem, fixed_systems, train_cascade
from landmarks import LevelErrors, error_rows, measure_errors, replace_between_markers

from onelook.data.detection_scenes import DetectionImage
from onelook.data.landmark_faces import STORED_SIDE, LandmarkFaces
from onelook.data.manifest import Face, empty_boxes
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.settings import DetectSettings
from onelook.training import landmark_training
from onelook.training.landmark_training import LandmarkTrainer

POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.4, 0.8], [0.6, 0.8]], np.float32)
BOX = np.array([10, 20, 50, 60], np.float32)
IN_BOX = BOX[:2] + 40 * POINTS


class BoxDetector:
    """Detects the same boxes in every image, with the points of `POINTS`."""

    min_batch_size = 1
    fingerprint = "boxes"

    def __init__(self, boxes: Sequence[np.ndarray]) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        sides = (self.boxes[:, 2:] - self.boxes[:, :2]).max(1)[:, None, None]
        points = (self.boxes[:, None, :2] + sides * POINTS).astype(np.float32)
        count = len(self.boxes)
        return [Detections(self.boxes, np.ones(count, np.float32), points, np.zeros((count, 0), np.float32))] * len(
            images
        )

    def embed(self, image: np.ndarray, landmarks: np.ndarray, detect: DetectSettings) -> np.ndarray:
        return landmarks.reshape(len(landmarks), -1)


def labeled_photo(folder: Path, faces: Sequence[Face]) -> DetectionImage:
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(folder / "photo.png")
    return DetectionImage(folder / "photo.png", "test", tuple(faces), empty_boxes(), "test", "none")


def marked(shifts: Sequence[float]) -> MarkedPhoto:
    """Return a photo of faces whose predicted points are `shifts` times the eye distance (16 pixels) off."""
    count = len(shifts)
    predicted = IN_BOX + 16 * np.array(shifts)[:, None, None] * np.array([1, 0])
    boxes, labeled = np.tile(BOX, (count, 1)), np.tile(IN_BOX, (count, 1, 1))
    return MarkedPhoto(np.zeros((80, 80, 3), np.uint8), boxes, predicted, labeled, missed=1)


def training_faces(count: int = 6) -> LandmarkFaces:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (count, STORED_SIDE, STORED_SIDE)).astype(np.uint8)
    return LandmarkFaces(crops, (POINTS + rng.uniform(-0.02, 0.02, (count, 5, 2))).astype(np.float32))


def test_labels_go_to_the_detected_boxes_and_faces_without_labels_are_left_out(tmp_path: Path) -> None:
    faces = [Face(BOX + 1, IN_BOX), Face(np.array([60, 60, 79, 79], np.float32), IN_BOX), Face(BOX - 5)]
    photos = [labeled_photo(tmp_path, faces)]
    (found,) = detect_marked(photos, BoxDetector([BOX, [0, 0, 9, 9]]), "test")
    np.testing.assert_array_equal(found.boxes, BOX[None])
    np.testing.assert_allclose(found.labeled, IN_BOX[None])
    assert found.missed == 1


def test_training_crops_are_of_detected_boxes_from_the_smallest_size_on(tmp_path: Path) -> None:
    small = np.array([0, 0, 20, 20], np.float32)
    photos = [labeled_photo(tmp_path, [Face(BOX, IN_BOX), Face(small, 20 * POINTS)])]
    training = crop_training_faces(detect_marked(photos, BoxDetector([BOX, small]), "test"))
    np.testing.assert_allclose(training.faces.points, POINTS[None], atol=1e-6)
    assert training.faces.crops.shape == (1, STORED_SIDE, STORED_SIDE)
    with pytest.raises(DataError, match="no training photo has a detected face of 24 pixels"):
        crop_training_faces(detect_marked(photos, BoxDetector([small]), "test"))


def test_training_faces_are_detected_once(tmp_path: Path) -> None:
    photos = [labeled_photo(tmp_path, [Face(BOX, IN_BOX)])]
    detector = BoxDetector([BOX])
    first = open_training_faces(photos, detector, tmp_path / "faces.npz")
    detector.boxes = detector.boxes[:0]
    again = open_training_faces(photos, detector, tmp_path / "faces.npz")
    for one, other in ((first.faces.crops, again.faces.crops), (first.faces.points, again.faces.points)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first.predicted, again.predicted)
    detector.fingerprint = "another"
    with pytest.raises(DataError):
        open_training_faces(photos, detector, tmp_path / "faces.npz")


def test_faces_with_all_points_are_repeated() -> None:
    faces = training_faces(3)
    faces.points[1, 2] = np.nan
    repeated = repeat_complete(faces, 3)
    np.testing.assert_array_equal(repeated.points, faces.points[[0, 0, 0, 1, 2, 2, 2]])
    np.testing.assert_array_equal(repeated.crops, faces.crops[[0, 0, 0, 1, 2, 2, 2]])


def test_the_nose_alone_becomes_unlabeled(tmp_path: Path) -> None:
    (face,) = without_nose(labeled_photo(tmp_path, [Face(BOX, IN_BOX)])).faces
    assert np.isnan(face.landmarks[2]).all()
    np.testing.assert_array_equal(face.landmarks[[0, 1, 3, 4]], IN_BOX[[0, 1, 3, 4]])


def test_the_mean_face_and_the_offset_ignore_missing_points() -> None:
    points = np.stack([POINTS, POINTS + 0.1]).astype(np.float32)
    points[1, 3] = np.nan
    predicted = points + np.float32(0.02)
    predicted[1, 3] = 0.5
    faces = LandmarkFaces(np.zeros((2, 4, 4), np.uint8), points)
    systems = {system.name: system for system in fixed_systems(TrainingFaces(faces, predicted))}
    image, boxes = np.zeros((80, 80, 3), np.uint8), np.array([BOX, [10, 20, 90, 60]], np.float32)
    mean = systems[MEAN_FACE].predict_levels(image, boxes, np.zeros((2, 5, 2)))
    expected = POINTS + np.array([0.05, 0.05, 0.05, 0, 0.05])[:, None]
    np.testing.assert_allclose(mean[0, 0], BOX[:2] + 40 * expected, atol=1e-4)
    # The second box is 80 by 40 pixels: its square begins 20 pixels above it.
    np.testing.assert_allclose(mean[0, 1], BOX[:2] - [0, 20] + 80 * expected, atol=1e-4)
    own = np.tile(IN_BOX, (2, 1, 1))
    np.testing.assert_array_equal(systems[JOINT].predict_levels(image, boxes, own)[0], own)
    for system in systems.values():  # of a photo without a matched face
        assert system.predict_levels(image, boxes[:0], own[:0]).shape == (1, 0, 5, 2)
    shifted = systems[SHIFTED].predict_levels(image, boxes, own)[0]
    np.testing.assert_allclose(own - shifted, np.array([0.8, 1.6])[:, None, None].repeat(5, 1).repeat(2, 2), atol=1e-4)


def test_errors_of_each_level_are_in_eye_distances_and_resampled_by_photo() -> None:
    exact = PointSystem("exact", lambda image, boxes, points: np.stack([points, np.tile(IN_BOX, (len(boxes), 1, 1))]))
    errors = measure_errors([exact], iter([marked([0.05, 0.15]), marked([0.4])]))
    np.testing.assert_allclose(errors.errors["exact"], [[0.05, 0.15, 0.4], [0, 0, 0]], atol=1e-6)
    assert errors.photos.tolist() == [0, 0, 1] and errors.missed == 2
    # Resamples have the first photo alone (mean .1), the second alone (.4) or both.
    assert errors.columns("exact", 0) == {"error": "0.2000 [0.1000, 0.4000]", "> 0.1": "66.7 %"}
    rows = error_rows([exact], {"Helen": errors})
    assert [row["Helen: error"] for row in rows] == ["0.2000 [0.1000, 0.4000]", "0.0000 [0.0000, 0.0000]"]


def test_an_undefined_error_is_a_dash() -> None:
    errors = LevelErrors({"a": np.full((1, 2), np.nan)}, np.array([0, 1]), 2, 0)
    assert errors.columns("a", 0) == {"error": "–", "> 0.1": "–"}


def test_a_killed_training_resumes_to_the_same_bits_and_a_finished_one_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmark_training, "FACES_PER_STEP", 2)
    monkeypatch.setattr(landmark_systems, "_EPOCHS", 2)
    name, faces = "landmarks_coarse_to_fine", training_faces()
    train_cascade(name, faces, 2, tmp_path / "whole")
    step = LandmarkTrainer.train_step
    calls: list[int] = []

    def killed(trainer: LandmarkTrainer, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(trainer, *arguments)

    monkeypatch.setattr(LandmarkTrainer, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_cascade(name, faces, 2, tmp_path / "killed")
    train_cascade(name, faces, 2, tmp_path / "killed")
    assert len(calls) == 4 + 3  # three of the six epochs, of a step each, were saved
    again = train_cascade(name, faces, 2, tmp_path / "killed")
    assert len(calls) == 7 and again.minutes is not None and again.minutes > 0
    whole, resumed = (load_file(tmp_path / run / MODELS / name / "model.safetensors") for run in ("whole", "killed"))
    for key, value in whole.items():
        assert value.equal(resumed[key]), key


def test_a_photo_is_embedded_at_the_points_of_every_system(tmp_path: Path) -> None:
    labeled_photo(tmp_path, [])
    path = tmp_path / "photo.png"
    systems = [
        PointSystem(JOINT, lambda image, boxes, points: points[None]),
        PointSystem("two levels", lambda image, boxes, points: np.stack([points, points + 1])),
    ]
    # The second face is nearer to the center of the photo.
    embedded = embed_photos([path], systems, BoxDetector([[0, 0, 9, 9], BOX]))[path]
    np.testing.assert_allclose(embedded, [IN_BOX.ravel(), IN_BOX.ravel() + 1], atol=1e-5)
    assert embed_photos([path], systems, BoxDetector([]))[path] == [None, None]


def test_only_the_text_between_the_markers_changes() -> None:
    begin, end = "<!-- made by benchmarks/landmarks.py -->", "<!-- end of landmarks.py -->"
    assert replace_between_markers(f"a\n{begin}\nold\n{end}\nb", "new") == f"a\n{begin}\n\nnew\n\n{end}\nb"
