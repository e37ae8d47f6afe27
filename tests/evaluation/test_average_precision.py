"""Average precision against hand-computed curves and a brute-force twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.evaluation.average_precision import DetectionOutcomes, judge_detections

FACE = np.array([[0, 0, 10, 10]], np.float32)
OTHER = np.array([[20, 0, 30, 10]], np.float32)
NOWHERE = np.array([[80, 80, 90, 90]], np.float32)


def boxes(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((0, 4), np.float32), *parts])


def test_hand_computed_curve() -> None:
    # By score: hit, false alarm, hit, duplicate, hit; four faces, one of them in a photo where nothing was found.
    outcomes = judge_detections(
        [boxes(FACE, NOWHERE, OTHER), boxes(FACE, FACE), boxes()],
        [np.array([0.9, 0.8, 0.7]), np.array([0.5, 0.6]), np.zeros(0)],
        [boxes(FACE, OTHER), FACE, FACE],
        iou=0.5,
    )
    curve = outcomes.curve()
    assert outcomes.hits.tolist() == [True, False, True, True, False]
    np.testing.assert_allclose(curve.recall, [0.25, 0.25, 0.5, 0.75, 0.75])
    np.testing.assert_allclose(curve.precision, [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    # The envelope lifts 2/3 to 3/4.
    assert outcomes.average_precision() == pytest.approx(0.25 * 1 + 0.25 * 0.75 + 0.25 * 0.75)


def test_the_better_scored_of_two_on_one_face_is_the_hit_whatever_their_order() -> None:
    outcomes = judge_detections([boxes(FACE, FACE)], [np.array([0.3, 0.8])], [FACE], iou=0.5)
    assert outcomes.scores.tolist() == [0.8, 0.3]
    assert outcomes.hits.tolist() == [True, False]


def test_detections_on_an_ignored_face_are_dropped_and_it_need_not_be_found() -> None:
    ignored = [np.array([False, True])]
    found = judge_detections(
        [boxes(OTHER, OTHER, FACE)], [np.array([0.9, 0.8, 0.7])], [boxes(FACE, OTHER)], 0.5, ignored
    )
    assert found.hits.tolist() == [True]
    assert found.average_precision() == 1.0
    missed = judge_detections([boxes(FACE)], [np.array([0.7])], [boxes(FACE, OTHER)], 0.5, ignored)
    assert missed.average_precision() == 1.0


def test_nothing_found_is_zero_and_nothing_to_find_has_no_figure() -> None:
    nothing = np.zeros(0)
    assert judge_detections([boxes()], [nothing], [FACE], 0.5).average_precision() == 0.0
    assert np.isnan(judge_detections([boxes(FACE)], [np.ones(1)], [boxes()], 0.5).average_precision())


def test_equal_scores_pass_together_whatever_their_order() -> None:
    def outcomes(hits: list[bool]) -> DetectionOutcomes:
        return DetectionOutcomes(np.full(2, 0.5), np.array(hits), np.zeros(2, np.int64), np.array([1]))

    assert outcomes([True, False]).average_precision() == outcomes([False, True]).average_precision() == 0.5


def brute_force(scores: np.ndarray, hits: np.ndarray, faces: int) -> float:
    """For every recall level that is reached, the best precision of any threshold that reaches it."""
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
def test_equals_brute_force_also_when_photos_count_several_times(
    found: list[tuple[int, bool, int]], missed: int, weights: list[int]
) -> None:
    found = sorted(found, key=lambda detection: -detection[0])
    scores = np.array([score / 10 for score, _, _ in found])
    hits = np.array([hit for _, hit, _ in found], bool)
    photos = np.array([photo for _, _, photo in found], np.int64)
    faces = np.bincount(photos[hits], minlength=4) + np.array([missed, 0, 1, 0])
    outcomes = DetectionOutcomes(scores, hits, photos, faces)
    assert outcomes.average_precision() == pytest.approx(brute_force(scores, hits, int(faces.sum())))
    times = np.array(weights)
    if times @ faces:
        repeats = times[photos]
        expected = brute_force(np.repeat(scores, repeats), np.repeat(hits, repeats), int(times @ faces))
        assert outcomes.average_precision(times.astype(float)) == pytest.approx(expected)
