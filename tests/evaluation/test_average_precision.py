import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.evaluation.average_precision import NO_MATCH, DetectionOutcomes, evaluate_detections, match_detections

FACE = np.array([[0, 0, 10, 10]], np.float32)
OTHER = np.array([[20, 0, 30, 10]], np.float32)
BACKGROUND = np.array([[80, 80, 90, 90]], np.float32)
FACES = np.concatenate([FACE, OTHER])


def boxes(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((0, 4), np.float32), *parts])


def test_hand_computed_curve() -> None:
    # By score: true, false, true, duplicate, true positive; four faces, one in an image without detections.
    outcomes = evaluate_detections(
        [boxes(FACE, BACKGROUND, OTHER), boxes(FACE, FACE), boxes()],
        [np.array([0.9, 0.8, 0.7]), np.array([0.5, 0.6]), np.zeros(0)],
        [boxes(FACE, OTHER), FACE, FACE],
        iou=0.5,
    )
    curve = outcomes.curve()
    assert outcomes.is_true_positive.tolist() == [True, False, True, True, False]
    np.testing.assert_allclose(curve.recall, [0.25, 0.25, 0.5, 0.75, 0.75])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    # The envelope lifts 2/3 to 3/4.
    assert outcomes.average_precision() == pytest.approx(0.25 * 1 + 0.25 * 0.75 + 0.25 * 0.75)


def test_the_best_scored_detection_of_a_face_is_the_true_positive() -> None:
    outcomes = evaluate_detections([boxes(FACE, FACE)], [np.array([0.3, 0.8])], [FACE], iou=0.5)
    assert outcomes.scores.tolist() == [0.8, 0.3]
    assert outcomes.is_true_positive.tolist() == [True, False]


def test_detections_on_ignored_faces_are_dropped_and_ignored_faces_are_not_missed() -> None:
    ignored = [np.array([False, True])]
    detected = evaluate_detections(
        [boxes(OTHER, OTHER, FACE)], [np.array([0.9, 0.8, 0.7])], [boxes(FACE, OTHER)], 0.5, ignored
    )
    assert detected.is_true_positive.tolist() == [True]
    assert detected.average_precision() == 1.0
    missed = evaluate_detections([boxes(FACE)], [np.array([0.7])], [boxes(FACE, OTHER)], 0.5, ignored)
    assert missed.average_precision() == 1.0


def test_ap_is_zero_without_detections_and_nan_without_faces() -> None:
    no_scores = np.zeros(0)
    assert evaluate_detections([boxes()], [no_scores], [FACE], 0.5).average_precision() == 0.0
    assert np.isnan(evaluate_detections([boxes(FACE)], [np.ones(1)], [boxes()], 0.5).average_precision())


def test_equal_scores_are_one_point_of_the_curve() -> None:
    def outcomes(is_true_positive: list[bool]) -> DetectionOutcomes:
        return DetectionOutcomes(np.full(2, 0.5), np.array(is_true_positive), np.zeros(2, np.int64), np.array([1]))

    assert outcomes([True, False]).average_precision() == outcomes([False, True]).average_precision() == 0.5


def brute_force_ap(scores: np.ndarray, hits: np.ndarray, faces: int) -> float:
    """Sum, over the recall levels, the best precision of any threshold that reaches the level."""
    points = []
    for threshold in sorted(set(scores)):
        passed = scores >= threshold
        points.append((hits[passed].sum() / faces, hits[passed].sum() / passed.sum()))
    area = 0.0
    for level in range(1, faces + 1):
        area += max((precision for recall, precision in points if recall >= level / faces - 1e-12), default=0.0)
    return area / faces


detections = st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(0, 3)), max_size=25)


@settings(max_examples=200, deadline=None)
@given(detections, st.integers(0, 5), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_ap_equals_brute_force_also_with_image_weights(
    detected: list[tuple[int, bool, int]], missed: int, weights: list[int]
) -> None:
    detected = sorted(detected, key=lambda detection: -detection[0])
    scores = np.array([score / 10 for score, _, _ in detected])
    hits = np.array([hit for _, hit, _ in detected], bool)
    images = np.array([image for _, _, image in detected], np.int64)
    faces = np.bincount(images[hits], minlength=4) + np.array([missed, 0, 1, 0])
    outcomes = DetectionOutcomes(scores, hits, images, faces)
    assert outcomes.average_precision() == pytest.approx(brute_force_ap(scores, hits, int(faces.sum())))
    times = np.array(weights)
    if times @ faces:
        repeats = times[images]
        expected = brute_force_ap(np.repeat(scores, repeats), np.repeat(hits, repeats), int(times @ faces))
        assert outcomes.average_precision(times.astype(float)) == pytest.approx(expected)


def test_each_detection_matches_the_face_of_highest_iou_and_the_best_scored_is_first() -> None:
    boxes = np.array([[20, 0, 30, 9], [0, 0, 10, 8], [0, 0, 10, 10], [40, 40, 50, 50]], np.float32)
    matches, is_first = match_detections(boxes, FACES, 0.5)
    assert matches.tolist() == [1, 0, 0, NO_MATCH]
    # The second box on face 0 fits better, but the first has the better score.
    assert is_first.tolist() == [True, True, False, False]


def test_an_iou_equal_to_the_limit_is_a_match() -> None:
    half = np.array([[0, 0, 5, 10]], np.float32)
    assert match_detections(half, FACES, 0.5)[0].tolist() == [0]
    assert match_detections(half, FACES, 0.51)[0].tolist() == [NO_MATCH]


def test_matching_without_detections_or_faces() -> None:
    no_boxes = np.zeros((0, 4), np.float32)
    assert [part.tolist() for part in match_detections(no_boxes, FACES, 0.5)] == [[], []]
    assert [part.tolist() for part in match_detections(FACES, no_boxes, 0.5)] == [[NO_MATCH, NO_MATCH], [False, False]]
