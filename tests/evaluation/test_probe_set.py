from dataclasses import replace

import numpy as np

from onelook.data.manifest import Face, Role, Scene
from onelook.detections import Detections
from onelook.evaluation.probe_set import EnrolledSet, match_enrollment, match_probes, run_probe_trials, score_matrix
from onelook.face_quality import FULL_WEIGHT_SHARPNESS, FULL_WEIGHT_SIZE, Quality


def make_face(x: float, identity: str | None, source: str = "") -> Face:
    box = np.array([x, 0, x + 10, 10], np.float32)
    return Face(box, np.full((5, 2), x, np.float32), identity, source)


def make_scene(image: str, *faces: Face, role: Role = "scene") -> Scene:
    return Scene(image, 100, 50, "test", role, faces, "", "")


def make_detections(*xs: float, embeddings: np.ndarray | None = None) -> Detections:
    """Return detections at these x, best first; by default the i-th embedding is the i-th unit vector."""
    boxes = np.array([[x, 0, x + 10, 10] for x in xs], np.float32).reshape(-1, 4)
    rows = np.eye(4, dtype=np.float32)[: len(xs)] if embeddings is None else embeddings.astype(np.float32)
    scores = np.linspace(0.9, 0.6, len(xs), dtype=np.float32)
    return Detections(boxes, scores, np.tile(boxes[:, None, :2], (1, 5, 1)) + 1, rows)


def make_quality(weight: float) -> Quality:
    return Quality(score=weight, size=FULL_WEIGHT_SIZE, sharpness=FULL_WEIGHT_SHARPNESS)


def enroll(scenes: list[Scene], detections: list[Detections], weights: list[list[float]]) -> EnrolledSet:
    return match_enrollment(scenes, detections, [[make_quality(w) for w in each] for each in weights], 0.5)


def test_labeled_faces_and_false_positives_are_probes() -> None:
    scenes = [
        make_scene("one", make_face(0, "a", "a/1"), make_face(20, None), make_face(40, "b")),
        make_scene("two", make_face(0, "a", "a/2")),
    ]
    # In the first scene: a false positive, a, the face without identity, and a again. None in the second.
    probes = match_probes(scenes, [make_detections(80, 0, 20, 1), make_detections()], 0.5)
    assert probes.identities == ("a", "b", "a", None, None)
    assert probes.is_detected.tolist() == [True, False, False, True, True]
    assert probes.is_labeled.tolist() == [True, True, True, False, False]
    assert probes.scenes.tolist() == [0, 0, 1, 0, 0]
    assert probes.sources.tolist() == ["a/1", "one", "a/2", "", ""]
    assert probes.sizes.tolist()[:3] == [10, 10, 10]
    np.testing.assert_array_equal(probes.embeddings[0], [0, 1, 0, 0])
    np.testing.assert_array_equal(probes.embeddings[3:], [[1, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(probes.landmarks[0], np.tile([1.0, 1.0], (5, 1)))
    assert np.isnan(probes.embeddings[1:3]).all()
    units, strata = probes.bootstrap_units()
    assert (units.tolist(), strata) == ([0, 1, 0, 2, 3], (2, 2))


def test_detections_on_ignored_boxes_are_no_probes() -> None:
    ignored = np.array([[40, 0, 50, 10], [80, 0, 90, 10]], np.float32)
    scenes = [replace(make_scene("one", make_face(0, "a")), ignored=ignored), make_scene("two", make_face(0, "b"))]
    probes = match_probes(scenes, [make_detections(40, 0, 80, 60), make_detections(40, 0)], 0.5)
    assert probes.identities == ("a", "b", None, None) and probes.scenes.tolist() == [0, 1, 0, 1]


def test_enrollment_selects_the_detection_of_highest_iou_and_its_weight() -> None:
    scenes = [make_scene("a", make_face(0, "a"), make_face(40, None), role="enroll")]
    # The best-scored detection overlaps the face less than the second one; the third is on the unlabeled face.
    enrolled = enroll(scenes, [make_detections(2, 0, 40)], [[0.9, 0.4, 1.0]])
    assert enrolled.identities == ("a",) and enrolled.weights.tolist() == [0.4]
    np.testing.assert_array_equal(enrolled.embeddings, [[0, 1, 0, 0]])
    undetected = enroll(scenes, [make_detections(20)], [[0.9]])
    assert undetected.is_detected.tolist() == [False] and undetected.weights.tolist() == [0]


def test_similarity_is_to_the_weighted_template_and_undetected_faces_match_nobody() -> None:
    names = ("a", "a", "b", "c")
    rows = np.eye(3)
    enrolled = enroll(
        [make_scene(f"{i}", make_face(0, name)) for i, name in enumerate(names)],
        [*(make_detections(0, embeddings=row[None]) for row in rows), make_detections(embeddings=np.zeros((0, 3)))],
        [[1.0], [0.5], [0.7], []],
    )
    probes = match_probes(
        [make_scene("p", make_face(0, "a"), make_face(20, "b"))],
        [make_detections(0, embeddings=np.array([[0.6, 0.8, 0]]))],
        0.5,
    )
    people, similarities = score_matrix(probes, enrolled)
    assert people == ["a", "b", "c"]
    # The template of a is (1, 0.5, 0) of length sqrt 1.25.
    np.testing.assert_allclose(similarities, [[1.0 / np.sqrt(1.25), 0, -np.inf], [-np.inf] * 3], atol=1e-7)
    trials = run_probe_trials(probes, people, similarities)
    assert trials.correct.tolist() == [True, False]
