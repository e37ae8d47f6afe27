"""Which detection claims which face."""

import numpy as np

from onelook.evaluation.average_precision import NO_FACE, match_detections

FACES = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)


def test_each_detection_claims_the_face_it_overlaps_most_and_the_best_scored_is_first() -> None:
    boxes = np.array([[20, 0, 30, 9], [0, 0, 10, 8], [0, 0, 10, 10], [40, 40, 50, 50]], np.float32)
    claimed, first = match_detections(boxes, FACES, 0.5)
    assert claimed.tolist() == [1, 0, 0, NO_FACE]
    # The second box on face 0 fits better, but the first has the better score.
    assert first.tolist() == [True, True, False, False]


def test_an_overlap_of_exactly_the_limit_is_enough_and_less_is_not() -> None:
    half = np.array([[0, 0, 5, 10]], np.float32)
    assert match_detections(half, FACES, 0.5)[0].tolist() == [0]
    assert match_detections(half, FACES, 0.51)[0].tolist() == [NO_FACE]


def test_nothing_found_and_nothing_to_find() -> None:
    none = np.zeros((0, 4), np.float32)
    assert [part.tolist() for part in match_detections(none, FACES, 0.5)] == [[], []]
    assert [part.tolist() for part in match_detections(FACES, none, 0.5)] == [[NO_FACE, NO_FACE], [False, False]]
