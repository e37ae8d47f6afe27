from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import write_image
from onelook.data.label_arrays import write_meshes
from onelook.data.manifest import Face, Manifest, Scene
from onelook.detections import Detections
from onelook.evaluation.mesh_error import interocular_vertex_errors, pair_meshes, vertex_errors
from onelook.evaluation.mesh_pictures import draw_mesh_sheet
from onelook.evaluation.split_predictions import SplitDetections
from onelook.geometry.mesh import NOSE_TIP, NUM_VERTICES, OUTER_EYE_CORNERS

BOX = np.array([10, 10, 50, 110], np.float32)  # sqrt(40 * 100) is 63.2
SIZE = np.sqrt(4000)


def face_mesh() -> np.ndarray:
    return np.random.default_rng(0).uniform(20, 60, (NUM_VERTICES, 3)).astype(np.float32)


def test_vertex_errors_by_hand() -> None:
    labeled = face_mesh()[None]
    predicted = labeled.copy()
    predicted[0, 5] += [3, 4, 0]
    predicted[0, 6] += [0, 0, 12]
    errors = vertex_errors(predicted, labeled, BOX[None])[0] * SIZE
    assert errors[[4, 5, 6, 7]] == pytest.approx([0, 5, 12, 0], abs=1e-4)
    assert vertex_errors(predicted[..., :2], labeled[..., :2], BOX[None])[0, 6] == 0


def test_depth_is_relative_to_the_nose_tip() -> None:
    labeled = face_mesh()[None]
    assert vertex_errors(labeled + np.array([0, 0, 99]), labeled, BOX[None]).max() < 1e-6
    predicted = labeled.copy()
    predicted[0, NOSE_TIP, 2] += 2  # all other vertices are then 2 nearer
    errors = vertex_errors(predicted, labeled, BOX[None])[0] * SIZE
    assert errors[NOSE_TIP] == pytest.approx(0, abs=1e-4)
    assert np.delete(errors, NOSE_TIP) == pytest.approx(2, abs=1e-3)


def test_interocular_errors_are_normalized_by_the_outer_eye_corners_by_hand() -> None:
    labeled = np.zeros((1, NUM_VERTICES, 3), np.float32)
    left, right = OUTER_EYE_CORNERS
    # The outer corners are 100 apart in the image plane and 125 in space, the inner corners and the centers less.
    labeled[0, [left, 133, 362, right]] = [(0, 0, 0), (30, 0, 9), (60, 0, 9), (100, 0, 75)]
    predicted = labeled.copy()
    predicted[0, 5] += [3, 4, 12]  # 5 in the image plane, 13 in space
    assert interocular_vertex_errors(predicted, labeled)[0, [4, 5]] == pytest.approx([0, 13 / 125])
    assert interocular_vertex_errors(predicted[..., :2], labeled[..., :2])[0, [4, 5]] == pytest.approx([0, 5 / 100])
    flat = np.zeros_like(labeled)
    assert np.isnan(interocular_vertex_errors(predicted, flat)).all(), "both corners have the same position"


def test_a_face_without_a_label_has_nan_errors() -> None:
    labeled = np.full((1, NUM_VERTICES, 3), np.nan, np.float32)
    assert np.isnan(interocular_vertex_errors(face_mesh()[None], labeled)).all()
    assert np.isnan(vertex_errors(face_mesh()[None], labeled, BOX[None])).all()


def make_split(root: Path, *, meshes: bool = True) -> tuple[SplitDetections, Manifest]:
    """Two scenes: a face detected twice; and two faces, one without a mesh label, one undetected."""
    write_image(root / "a.png", np.full((120, 120, 3), 90, np.uint8))
    write_image(root / "b.png", np.full((120, 120, 3), 90, np.uint8))
    faces = Face(BOX, identity="Ada"), Face(BOX), Face(BOX + 60)
    scenes = [
        Scene("a.png", 120, 120, "test", "scene", faces[:1], "", ""),
        Scene("b.png", 120, 120, "test", "scene", faces[1:], "", ""),
    ]
    labels = iter([face_mesh(), None, face_mesh()])
    write_meshes(root, scenes, lambda image, box, landmarks: next(labels))
    predicted = np.stack([face_mesh() + np.array([3, 0, 0]), face_mesh() + np.array([50, 0, 0])]).astype(np.float32)
    twice = Detections(np.stack([BOX, BOX + 1]), np.array([0.9, 0.8]), np.zeros((2, 5, 2)), np.zeros((2, 0)), predicted)
    once = Detections(BOX[None], np.ones(1), np.zeros((1, 5, 2)), np.zeros((1, 0)), predicted[:1])
    if not meshes:
        once = Detections(once.boxes, once.scores, once.landmarks, once.embeddings)
    return SplitDetections(scenes, [twice, once]), Manifest(root, tuple(scenes))


def test_each_detected_face_with_a_label_is_one_pair(tmp_path: Path) -> None:
    detections, manifest = make_split(tmp_path)
    pairs = pair_meshes(detections, manifest, iou=0.5, score=0.5)
    assert pairs is not None and pairs.scenes.tolist() == [0]
    metrics = pairs.metrics(np.ones(2))
    corners = face_mesh()[list(OUTER_EYE_CORNERS)]
    expected = dict.fromkeys(("error", "error_flat", "error_68"), 3 / SIZE)
    expected["error_interocular"] = 3 / np.linalg.norm(corners[0] - corners[1])
    expected["error_68_interocular"] = 3 / np.linalg.norm((corners[0] - corners[1])[:2])
    assert metrics == pytest.approx(expected, rel=1e-4)
    assert pairs.metrics(np.array([3.0, 0.0])) == pytest.approx(metrics)
    assert np.isnan(pairs.metrics(np.array([0.0, 1.0]))["error"])
    assert draw_mesh_sheet(manifest, detections.scenes, pairs).any()
    assert pairs.has_identity.tolist() == [True] and len(pairs.select(~pairs.has_identity).predicted) == 0
    assert pair_meshes(detections, manifest, iou=0.5, score=0.95) is None, "no detection has that score"


def test_there_are_no_pairs_without_labels_or_predicted_meshes(tmp_path: Path) -> None:
    detections, manifest = make_split(tmp_path, meshes=False)
    assert pair_meshes(detections, manifest, iou=0.5, score=0.5) is None
    detections, manifest = make_split(tmp_path)
    (tmp_path / "meshes.safetensors").unlink()
    assert pair_meshes(detections, manifest, iou=0.5, score=0.5) is None
