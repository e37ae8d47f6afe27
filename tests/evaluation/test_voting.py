"""Box voting, by hand and by what may not change it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onelook.detections import Detections
from onelook.inference.test_time_augmentation import box_voting


def view(*found: tuple[list[float], float]) -> Detections:
    """Detections whose five landmarks are the first corner, the second one, and the first thrice more."""
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    landmarks = boxes.reshape(-1, 2, 2)[:, [0, 1, 0, 0, 0]]
    scores = np.array([score for _, score in found], np.float32)
    return Detections(boxes, scores, landmarks, np.zeros((len(found), 0), np.float32))


def test_the_kept_box_is_the_mean_of_its_voters_by_score() -> None:
    # IoU 80/120 with the best one; weights 3/4 and 1/4. The third box overlaps neither.
    merged = box_voting(
        [view(([0, 0, 10, 10], 0.75)), view(([2, 0, 12, 10], 0.25), ([40, 0, 50, 10], 0.5))], nms=0.4, voting=0.6
    )
    np.testing.assert_allclose(merged.boxes, [[0.5, 0, 10.5, 10], [40, 0, 50, 10]], rtol=1e-6)
    assert merged.scores.tolist() == [0.75, 0.5]
    np.testing.assert_allclose(merged.landmarks[0], [[0.5, 0], [10.5, 10], [0.5, 0], [0.5, 0], [0.5, 0]], rtol=1e-6)
    assert merged.embeddings.shape == (2, 0) and merged.boxes.dtype == merged.landmarks.dtype == np.float32


def test_suppressed_boxes_vote_from_the_voting_overlap_on() -> None:
    # IoU 80/120 again: suppressed, and a voter or not by the threshold for votes alone.
    views = [view(([0, 0, 10, 10], 0.75), ([2, 0, 12, 10], 0.25))]
    assert box_voting(views, nms=0.4, voting=0.7).boxes.tolist() == [[0, 0, 10, 10]]
    assert box_voting(views, nms=0.4, voting=2 / 3 - 1e-6).boxes[0, 0] == 0.5


def test_a_box_that_is_kept_votes_for_its_neighbor_too() -> None:
    merged = box_voting([view(([0, 0, 10, 10], 0.5), ([2, 0, 12, 10], 0.5))], nms=0.7, voting=0.6)
    np.testing.assert_allclose(merged.boxes, [[1, 0, 11, 10], [1, 0, 11, 10]])


def test_an_empty_box_keeps_its_place_and_nothing_found_is_nothing() -> None:
    assert box_voting([view(([5, 5, 5, 9], 0.5))], 0.4, 0.5).boxes.tolist() == [[5, 5, 5, 9]]
    nothing = box_voting([view(), view()], 0.4, 0.5)
    assert nothing.boxes.shape == (0, 4) and nothing.landmarks.shape == (0, 5, 2) and len(nothing) == 0


drawn = st.lists(st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2), min_size=1, max_size=20)


@given(drawn, st.randoms(use_true_random=False))
def test_views_may_come_in_any_order_and_move_with_the_photo(boxes: list[tuple[int, ...]], order) -> None:
    found = [([x, y, x + w, y + h], (i + 1) / 32) for i, (x, y, w, h) in enumerate(boxes)]
    plain = box_voting([view(*found)], 0.4, 0.5)
    assert (np.diff(plain.scores) <= 0).all()
    shuffled = order.sample(found, len(found))
    again = box_voting([view(one) for one in shuffled], 0.4, 0.5)
    np.testing.assert_allclose(again.boxes, plain.boxes, atol=1e-3)
    moved = box_voting([view(*(([each + 64 for each in box], score) for box, score in found))], 0.4, 0.5)
    np.testing.assert_allclose(moved.boxes, plain.boxes + 64, atol=1e-3)
    np.testing.assert_array_equal(moved.scores, plain.scores)
    # A mean lies between its voters.
    corners = np.array([box for box, _ in found])
    assert (plain.boxes >= corners.min(0) - 1e-3).all() and (plain.boxes <= corners.max(0) + 1e-3).all()


@given(drawn)
def test_doubling_every_view_changes_nothing(boxes: list[tuple[int, ...]]) -> None:
    one = view(*(([x, y, x + w, y + h], (i + 1) / 32) for i, (x, y, w, h) in enumerate(boxes)))
    doubled = box_voting([one, one], 0.4, 0.5)
    np.testing.assert_allclose(doubled.boxes, box_voting([one], 0.4, 0.5).boxes, atol=1e-3)
