import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import helpers.pretend  # noqa: F401
from onelook.data.manifest import Face, Manifest, Scene
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.evaluation.probe_set import score_matrix
from onelook.evaluation.split_predictions import (
    AP_MIN_SCORE,
    SplitDetections,
    detect_split,
    embed_labeled,
    embed_split,
)
from onelook.face_templates import make_person_templates
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.enrollment import add_batch, embed_labeled_scenes
from onelook.gallery.faiss_index import TemplateIndex
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


def make_scene(image: str, *faces: tuple[float, str | None]) -> Scene:
    """Return a scene with faces of 10 pixels at (x, 0), all landmarks at (x, x)."""
    labels = (
        Face(np.array([x, 0, x + 10, 10], np.float32), np.full((5, 2), x, np.float32), identity)
        for x, identity in faces
    )
    return Scene(image, 100, 50, "test", "scene", tuple(labels), "", "")


def make_detections(*xs: float) -> Detections:
    """Return detections at these x, scores from 0.9 down to 0.6, all landmarks at (x + 1, 1)."""
    boxes = np.array([[x, 0, x + 10, 10] for x in xs], np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.6, len(xs), dtype=np.float32)
    return Detections(boxes, scores, np.tile(boxes[:, None, :2], (1, 5, 1)) + 1, np.zeros((len(xs), 0), np.float32))


def test_landmark_errors_are_of_detected_faces_above_the_score() -> None:
    scenes = [make_scene("one", (0, "a"), (40, None)), make_scene("two", (0, "b"))]
    detections = SplitDetections(scenes, [make_detections(40, 80), make_detections(0)])
    errors, _, scene_numbers, _ = detections.landmark_errors(0.5, 0.5)
    np.testing.assert_allclose(errors, [np.hypot(1, 39) / 10, np.hypot(1, 1) / 10], rtol=1e-5)
    assert scene_numbers.tolist() == [0, 1]
    assert detections.landmark_errors(0.5, 0.95)[0].tolist() == []
    assert detections.outcomes().is_true_positive.tolist() == [True, True, False]


def test_detections_on_ignored_boxes_are_dropped() -> None:
    ignored = np.array([[40, 0, 50, 10], [80, 0, 90, 10]], np.float32)
    scenes = [replace(make_scene("one", (0, "a")), ignored=ignored), make_scene("two", (0, "b"))]
    detections = SplitDetections(scenes, [make_detections(40, 0, 80, 60), make_detections(40, 0)])
    outcomes = detections.outcomes()
    # In the first scene only the last detection is a false positive, in the second the first.
    np.testing.assert_allclose(outcomes.scores, [0.9, 0.8, 0.6, 0.6], rtol=1e-6)
    assert sorted(zip(outcomes.images.tolist(), outcomes.is_true_positive.tolist(), strict=True)) == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]
    assert outcomes.face_counts.tolist() == [1, 1]
    assert detections.landmark_errors(0.5, 0.5).scenes.tolist() == [0, 1]


def test_a_split_of_real_scenes_is_embedded(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    done: list[int] = []
    split = embed_split(small_predictor, small_manifest, "test", small_settings, done.append)
    assert sum(done) == 2 * len(split.scenes) + len(split.enrollments) == 2 * 6 + 3 * 2
    detected = [candidates for candidates in split.candidates if len(candidates)]
    assert min(float(candidates.scores.min()) for candidates in detected) < small_settings.detect.score
    assert all((candidates.scores >= AP_MIN_SCORE).all() for candidates in split.candidates)
    assert split.probes.is_labeled.sum() == sum(len(scene.faces) for scene in split.scenes)
    # Faces of 40 pixels and more are mostly detected.
    assert split.probes.is_detected[split.probes.is_labeled].mean() > 0.7
    assert split.enrolled.is_detected.all()
    assert ((split.enrolled.weights > 0) & (split.enrolled.weights <= 1)).all()
    np.testing.assert_allclose(np.linalg.norm(split.enrolled.embeddings, axis=1), 1, atol=1e-5)


def test_templates_and_similarities_equal_those_of_the_gallery_for_the_same_photos(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    # Smaller network input, so that some photos have a low weight.
    detect = small_settings.detect.model_copy(update={"longest_side": 96})
    settings = small_settings.model_copy(update={"detect": detect})
    metadata = GalleryMetadata(
        fingerprint="f" * 64, embedding_size=16, threshold=0.5, target_fpir=0.01, detect=detect, managed=False
    )
    batch, _ = embed_labeled_scenes(small_predictor, detect, small_manifest, "test")
    gallery = add_batch(empty_gallery(metadata), batch)
    split = embed_split(small_predictor, small_manifest, "test", settings)
    enrolled = split.enrolled
    rows = np.flatnonzero(enrolled.is_detected)
    np.testing.assert_allclose(enrolled.weights[rows], gallery.weights, rtol=1e-4)
    assert gallery.weights.min() < 0.9
    identities = [str(enrolled.identities[row]) for row in rows]
    names, templates = make_person_templates(enrolled.embeddings[rows], identities, enrolled.weights[rows])
    gallery_names, gallery_templates = make_person_templates(gallery.embeddings, gallery.identities, gallery.weights)
    assert names == gallery_names
    np.testing.assert_allclose(templates, gallery_templates, atol=1e-5)
    people, similarities = score_matrix(split.probes, enrolled)
    probes = np.flatnonzero(split.probes.is_detected)
    ranking = TemplateIndex(gallery.embeddings, gallery.identities, gallery.weights).search(
        split.probes.embeddings[probes]
    )
    assert names == [name for name in people if name in names]
    best = np.sort(similarities[probes], axis=1)[:, ::-1][:, : min(2, len(names))]
    np.testing.assert_allclose(ranking.similarities[:, : best.shape[1]], best, atol=1e-5)


def test_a_split_is_embedded_on_another_device(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    on_device = TorchPredictor(copy.deepcopy(small_predictor.network).to("pretend"), small_predictor.fingerprint)
    expected, found = (
        embed_split(predictor, small_manifest, "test", small_settings) for predictor in (small_predictor, on_device)
    )
    np.testing.assert_allclose(found.outcomes().average_precision(), expected.outcomes().average_precision(), atol=1e-6)
    assert found.probes.is_detected.tolist() == expected.probes.is_detected.tolist()
    np.testing.assert_allclose(found.probes.embeddings, expected.probes.embeddings, atol=1e-5)
    np.testing.assert_allclose(found.enrolled.embeddings, expected.enrolled.embeddings, atol=1e-5)


def test_labeled_faces_are_embedded_at_their_landmarks(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    probes, enrolled = embed_labeled(small_predictor, small_manifest, "validation", small_settings)
    labeled = sum(face.identity is not None for scene in small_manifest.select("validation") for face in scene.faces)
    assert probes.is_labeled.all() and probes.is_detected.all() and len(probes.identities) == labeled
    assert enrolled.is_detected.all() and (enrolled.weights > 0).all()
    first = small_manifest.select("validation", "enroll")[0]
    assert enrolled.landmarks[0].tolist() == first.faces[0].landmarks.tolist()


def test_a_split_without_enrollment_photos_is_refused(
    small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings, tmp_path: Path
) -> None:
    scenes = tuple(scene for scene in small_manifest.scenes if scene.role == "scene")
    with pytest.raises(DataError, match="enrollment photos of 0 people"):
        embed_split(small_predictor, Manifest(tmp_path, scenes), "test", small_settings)


def test_a_split_without_scenes_is_refused(small_predictor: TorchPredictor, small_settings: Settings) -> None:
    with pytest.raises(DataError, match="split test has no scene"):
        detect_split(small_predictor, Manifest(Path("nowhere"), ()), "test", small_settings.detect)
