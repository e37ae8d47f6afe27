"""From scenes and detections to sightings, templates and trials."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onelook.data.manifest import Face, Manifest, Role, Scene
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.evaluation.probe_set import (
    LOWEST_SCORE,
    SplitDetections,
    detect_split,
    evaluate_split,
    match_probes,
    score_matrix,
    try_probes,
)
from onelook.gallery.faiss_index import TemplateIndex
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


def face(x: float, identity: str | None, source: str = "") -> Face:
    box = np.array([x, 0, x + 10, 10], np.float32)
    return Face(box, np.full((5, 2), x, np.float32), identity, source)


def scene(image: str, *faces: Face, role: Role = "scene") -> Scene:
    return Scene(image, 100, 50, "test", role, faces, "", "")


def detections(*places: float, embeddings: np.ndarray | None = None) -> Detections:
    """Faces at x = places, best first; the embedding of the i-th is the i-th unit vector unless given."""
    boxes = np.array([[x, 0, x + 10, 10] for x in places], np.float32).reshape(-1, 4)
    rows = np.eye(4, dtype=np.float32)[: len(places)] if embeddings is None else embeddings.astype(np.float32)
    scores = np.linspace(0.9, 0.6, len(places), dtype=np.float32)
    return Detections(boxes, scores, np.tile(boxes[:, None, :2], (1, 5, 1)) + 1, rows)


def test_each_labeled_face_and_each_false_alarm_is_a_sighting() -> None:
    scenes = [scene("one", face(0, "a", "a/1"), face(20, None), face(40, "b")), scene("two", face(0, "a", "a/2"))]
    # In the first: a false alarm, a, the face without a name, and a again. In the second nothing is found.
    sightings = match_probes(scenes, [detections(80, 0, 20, 1), detections()], 0.5)
    assert sightings.identities == ("a", "b", "a", None, None)
    assert sightings.found.tolist() == [True, False, False, True, True]
    assert sightings.labeled.tolist() == [True, True, True, False, False]
    assert sightings.scenes.tolist() == [0, 0, 1, 0, 0]
    assert sightings.sources.tolist() == ["a/1", "one", "a/2", "", ""]
    assert sightings.sizes.tolist()[:3] == [10, 10, 10]
    np.testing.assert_array_equal(sightings.embeddings[0], [0, 1, 0, 0])
    np.testing.assert_array_equal(sightings.embeddings[3:], [[1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(sightings.landmarks[0], np.tile([1.0, 1.0], (5, 1)))
    assert np.isnan(sightings.embeddings[1:3]).all()
    units, strata = sightings.units()
    assert (units.tolist(), strata) == ([0, 1, 0, 2, 3], (2, 2))


def test_similarity_is_to_the_mean_of_a_persons_enrolled_embeddings_and_misses_match_nobody() -> None:
    enrolled = match_probes(
        [scene("a1", face(0, "a")), scene("a2", face(0, "a")), scene("b1", face(0, "b")), scene("c1", face(0, "c"))],
        [
            detections(0, embeddings=np.array([[1, 0, 0]])),
            detections(0, embeddings=np.array([[0, 1, 0]])),
            detections(0, embeddings=np.array([[0, 0, 1]])),
            detections(embeddings=np.zeros((0, 3))),
        ],
        0.5,
    )
    probes = match_probes(
        [scene("p", face(0, "a"), face(20, "b"))], [detections(0, embeddings=np.array([[0.6, 0.8, 0]]))], 0.5
    )
    people, similarities = score_matrix(probes, enrolled)
    assert people == ["a", "b", "c"]
    np.testing.assert_allclose(similarities, [[1.4 / np.sqrt(2), 0, -np.inf], [-np.inf] * 3], atol=1e-7)
    trials = try_probes(probes, people, similarities)
    assert trials.correct.tolist() == [True, False]


def test_the_gallery_answers_the_same() -> None:
    rng = np.random.default_rng(0)

    def photos(count: int, names: str) -> tuple[list[Scene], list[Detections]]:
        rows = rng.standard_normal((count, 1, 16))
        rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        scenes = [scene(f"{i}", face(0, names[i % len(names)])) for i in range(count)]
        return scenes, [detections(0, embeddings=row) for row in rows]

    enrolled = match_probes(*photos(20, "abcdefg"), 0.5)
    probes = match_probes(*photos(30, "abcdefg"), 0.5)
    people, similarities = score_matrix(probes, enrolled)
    index = TemplateIndex(enrolled.embeddings, [str(name) for name in enrolled.identities])
    found = index.search(probes.embeddings)
    assert index.names == people
    np.testing.assert_array_equal(found.places[:, 0], similarities.argmax(1))
    np.testing.assert_allclose(found.similarities, np.sort(similarities, axis=1)[:, :-3:-1], atol=1e-6)


def test_landmark_errors_are_of_found_faces_alone() -> None:
    scenes = [scene("one", face(0, "a"), face(40, None)), scene("two", face(0, "b"))]
    seen = SplitDetections(scenes, [detections(40, 80), detections(0)])
    errors, _, places = seen.errors(0.5, 0.5)
    # Landmarks are labeled at (x, x) and found at (x + 1, 1); the size is 10.
    np.testing.assert_allclose(errors, [np.hypot(1, 39) / 10, np.hypot(1, 1) / 10], rtol=1e-5)
    assert places.tolist() == [0, 1]
    assert seen.errors(0.5, 0.95)[0].tolist() == []
    assert seen.outcomes().hits.tolist() == [True, True, False]


def test_real_scenes_end_to_end(
    small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings
) -> None:
    looked: list[int] = []
    seen = evaluate_split(small_looker, small_manifest, "test", small_settings, looked.append)
    assert sum(looked) == 2 * len(seen.scenes) + len(seen.enrollments) == 2 * 6 + 3 * 2
    assert min(float(found.scores.min()) for found in seen.candidates if len(found)) < small_settings.detect.score
    assert all((found.scores >= LOWEST_SCORE).all() for found in seen.candidates)
    faces = sum(len(scene.faces) for scene in seen.scenes)
    assert seen.probes.labeled.sum() == faces
    # The embeddings are those of a look at the photo alone, and faces of 40 pixels and more are mostly found.
    assert seen.probes.found[seen.probes.labeled].mean() > 0.7
    assert seen.enrolled.found.all()
    np.testing.assert_allclose(np.linalg.norm(seen.enrolled.embeddings, axis=1), 1, atol=1e-5)


def test_a_split_without_enough_people_is_refused(
    small_looker: TorchPredictor, small_manifest: Manifest, small_settings: Settings, tmp_path: Path
) -> None:
    scenes = tuple(s for s in small_manifest.scenes if s.role == "scene")
    with pytest.raises(DataError, match="enrollment photos of 0 people"):
        evaluate_split(small_looker, Manifest(tmp_path, scenes), "test", small_settings, lambda photos: None)


def test_finding_an_ignored_box_is_neither_right_nor_wrong() -> None:
    ignored = np.array([[40, 0, 50, 10], [80, 0, 90, 10]], np.float32)
    scenes = [replace(scene("one", face(0, "a")), ignored=ignored), scene("two", face(0, "b"))]
    found = [detections(40, 0, 80, 60), detections(40, 0)]
    # Scores from 0.9 down to 0.6: in the first scene only the last is a false alarm, in the second the first.
    outcomes = SplitDetections(scenes, found).outcomes()
    np.testing.assert_allclose(outcomes.scores, [0.9, 0.8, 0.6, 0.6], rtol=1e-6)
    assert sorted(zip(outcomes.photos.tolist(), outcomes.hits.tolist(), strict=True)) == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]
    assert outcomes.faces.tolist() == [1, 1]
    sightings = match_probes(scenes, found, 0.5)
    assert sightings.identities == ("a", "b", None, None) and sightings.scenes.tolist() == [0, 1, 0, 1]
    assert SplitDetections(scenes, found).errors(0.5, 0.5).scenes.tolist() == [0, 1]


def test_a_split_without_scenes_is_told(small_looker: TorchPredictor, small_settings: Settings) -> None:
    with pytest.raises(DataError, match="split test has no scene"):
        detect_split(small_looker, Manifest(Path("nowhere"), ()), "test", small_settings.detect, lambda photos: None)
