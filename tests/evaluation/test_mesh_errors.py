from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import write_image
from onelook.data.manifest import Face, Manifest, Scene
from onelook.data.mesh_labels import write_meshes
from onelook.detections import Detections
from onelook.evaluation.mesh_error import pair_meshes, vertex_errors
from onelook.evaluation.mesh_pictures import mesh_sheet
from onelook.evaluation.probe_set import SplitDetections
from onelook.geometry.mesh import NOSE_TIP, VERTICES

BOX = np.array([10, 10, 50, 110], np.float32)  # sqrt(40 * 100) is 63.2
SIZE = np.sqrt(4000)


def face_mesh() -> np.ndarray:
    return np.random.default_rng(0).uniform(20, 60, (VERTICES, 3)).astype(np.float32)


def test_errors_by_hand() -> None:
    labeled = face_mesh()[None]
    found = labeled.copy()
    found[0, 5] += [3, 4, 0]
    found[0, 6] += [0, 0, 12]
    errors = vertex_errors(found, labeled, BOX[None])[0] * SIZE
    assert errors[[4, 5, 6, 7]] == pytest.approx([0, 5, 12, 0], abs=1e-4)
    assert vertex_errors(found[..., :2], labeled[..., :2], BOX[None])[0, 6] == 0


def test_only_depth_from_the_nose_tip_counts() -> None:
    labeled = face_mesh()[None]
    assert vertex_errors(labeled + np.array([0, 0, 99]), labeled, BOX[None]).max() < 1e-6
    found = labeled.copy()
    found[0, NOSE_TIP, 2] += 2  # then everything else lies 2 nearer
    errors = vertex_errors(found, labeled, BOX[None])[0] * SIZE
    assert errors[NOSE_TIP] == pytest.approx(0, abs=1e-4)
    assert np.delete(errors, NOSE_TIP) == pytest.approx(2, abs=1e-3)


def test_a_face_without_a_label_has_no_error() -> None:
    labeled = np.full((1, VERTICES, 3), np.nan, np.float32)
    assert np.isnan(vertex_errors(face_mesh()[None], labeled, BOX[None])).all()


def seen_split(root: Path, *, meshes: bool = True) -> tuple[SplitDetections, Manifest]:
    """Two scenes: a face found 3 pixels aside, twice; and two faces, one without a label, one not found."""
    write_image(root / "a.png", np.full((120, 120, 3), 90, np.uint8))
    write_image(root / "b.png", np.full((120, 120, 3), 90, np.uint8))
    faces = Face(BOX, identity="Ada"), Face(BOX), Face(BOX + 60)
    scenes = [
        Scene("a.png", 120, 120, "test", "scene", faces[:1], "", ""),
        Scene("b.png", 120, 120, "test", "scene", faces[1:], "", ""),
    ]
    labels = iter([face_mesh(), None, face_mesh()])
    write_meshes(root, scenes, lambda photo, box, landmarks: next(labels))
    found = np.stack([face_mesh() + np.array([3, 0, 0]), face_mesh() + np.array([50, 0, 0])]).astype(np.float32)
    twice = Detections(np.stack([BOX, BOX + 1]), np.array([0.9, 0.8]), np.zeros((2, 5, 2)), np.zeros((2, 0)), found)
    once = Detections(BOX[None], np.ones(1), np.zeros((1, 5, 2)), np.zeros((1, 0)), found[:1])
    if not meshes:
        once = Detections(once.boxes, once.scores, once.landmarks, once.embeddings)
    return SplitDetections(scenes, [twice, once]), Manifest(root, tuple(scenes))


def test_faces_that_were_found_and_have_a_label_count_once_each(tmp_path: Path) -> None:
    seen, manifest = seen_split(tmp_path)
    pairs = pair_meshes(seen, manifest, iou=0.5, score=0.5)
    assert pairs is not None and pairs.scenes.tolist() == [0]
    figures = pairs.figures(np.ones(2))
    assert figures == pytest.approx(dict.fromkeys(("error", "error_flat", "error_68"), 3 / SIZE), rel=1e-4)
    assert pairs.figures(np.array([3.0, 0.0])) == pytest.approx(figures)
    assert np.isnan(pairs.figures(np.array([0.0, 1.0]))["error"])
    assert mesh_sheet(manifest, seen.scenes, pairs).any()
    assert pairs.named.tolist() == [True] and len(pairs.only(~pairs.named).found) == 0
    assert pair_meshes(seen, manifest, iou=0.5, score=0.95) is None, "no detection is that sure"


def test_without_labels_or_meshes_there_is_nothing_to_measure(tmp_path: Path) -> None:
    seen, manifest = seen_split(tmp_path, meshes=False)
    assert pair_meshes(seen, manifest, iou=0.5, score=0.5) is None
    seen, manifest = seen_split(tmp_path)
    (tmp_path / "meshes.safetensors").unlink()
    assert pair_meshes(seen, manifest, iou=0.5, score=0.5) is None
