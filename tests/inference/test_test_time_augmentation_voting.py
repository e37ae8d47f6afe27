import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onelook.detections import Detections
from onelook.inference.test_time_augmentation import box_voting


def make_view(*faces: tuple[list[float], float]) -> Detections:
    """Return detections with landmarks at the first corner, the second one, and three more at the first."""
    boxes = np.array([box for box, _ in faces], np.float32).reshape(-1, 4)
    landmarks = boxes.reshape(-1, 2, 2)[:, [0, 1, 0, 0, 0]]
    scores = np.array([score for _, score in faces], np.float32)
    return Detections(boxes, scores, landmarks, np.zeros((len(faces), 0), np.float32))


def test_a_kept_box_becomes_the_score_weighted_mean_of_its_voters() -> None:
    # IoU 80/120 with the best one; weights 3/4 and 1/4. The third box overlaps neither.
    merged = box_voting(
        [make_view(([0, 0, 10, 10], 0.75)), make_view(([2, 0, 12, 10], 0.25), ([40, 0, 50, 10], 0.5))],
        nms_thresh=0.4,
        voting=0.6,
    )
    np.testing.assert_allclose(merged.boxes, [[0.5, 0, 10.5, 10], [40, 0, 50, 10]], rtol=1e-6)
    assert merged.scores.tolist() == [0.75, 0.5]
    np.testing.assert_allclose(merged.landmarks[0], [[0.5, 0], [10.5, 10], [0.5, 0], [0.5, 0], [0.5, 0]], rtol=1e-6)
    assert merged.embeddings.shape == (2, 0) and merged.boxes.dtype == merged.landmarks.dtype == np.float32


def test_suppressed_boxes_vote_from_the_voting_iou_on() -> None:
    # IoU 80/120: suppressed, and a voter only if the IoU reaches `voting`.
    views = [make_view(([0, 0, 10, 10], 0.75), ([2, 0, 12, 10], 0.25))]
    assert box_voting(views, nms_thresh=0.4, voting=0.7).boxes.tolist() == [[0, 0, 10, 10]]
    assert box_voting(views, nms_thresh=0.4, voting=2 / 3 - 1e-6).boxes[0, 0] == 0.5


def test_kept_boxes_vote_for_their_neighbors() -> None:
    merged = box_voting([make_view(([0, 0, 10, 10], 0.5), ([2, 0, 12, 10], 0.5))], nms_thresh=0.7, voting=0.6)
    np.testing.assert_allclose(merged.boxes, [[1, 0, 11, 10], [1, 0, 11, 10]])


def test_empty_boxes_and_empty_views() -> None:
    assert box_voting([make_view(([5, 5, 5, 9], 0.5))], 0.4, 0.5).boxes.tolist() == [[5, 5, 5, 9]]
    empty = box_voting([make_view(), make_view()], 0.4, 0.5)
    assert empty.boxes.shape == (0, 4) and empty.landmarks.shape == (0, 5, 2) and len(empty) == 0


box_lists = st.lists(st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2), min_size=1, max_size=20)


@given(box_lists, st.randoms(use_true_random=False))
def test_voting_ignores_order_and_is_translation_equivariant(boxes: list[tuple[int, ...]], order) -> None:
    faces = [([x, y, x + w, y + h], (i + 1) / 32) for i, (x, y, w, h) in enumerate(boxes)]
    plain = box_voting([make_view(*faces)], 0.4, 0.5)
    assert (np.diff(plain.scores) <= 0).all()
    shuffled = order.sample(faces, len(faces))
    again = box_voting([make_view(one) for one in shuffled], 0.4, 0.5)
    np.testing.assert_allclose(again.boxes, plain.boxes, atol=1e-3)
    moved = box_voting([make_view(*(([each + 64 for each in box], score) for box, score in faces))], 0.4, 0.5)
    np.testing.assert_allclose(moved.boxes, plain.boxes + 64, atol=1e-3)
    np.testing.assert_array_equal(moved.scores, plain.scores)
    # A mean lies between its voters.
    corners = np.array([box for box, _ in faces])
    assert (plain.boxes >= corners.min(0) - 1e-3).all() and (plain.boxes <= corners.max(0) + 1e-3).all()


@given(box_lists)
def test_duplicate_views_change_nothing(boxes: list[tuple[int, ...]]) -> None:
    one = make_view(*(([x, y, x + w, y + h], (i + 1) / 32) for i, (x, y, w, h) in enumerate(boxes)))
    doubled = box_voting([one, one], 0.4, 0.5)
    np.testing.assert_allclose(doubled.boxes, box_voting([one], 0.4, 0.5).boxes, atol=1e-3)
