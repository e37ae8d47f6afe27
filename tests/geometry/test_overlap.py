import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.boxes import box_areas, pairwise_iou

coordinate = st.floats(-500, 500, width=32)
side = st.floats(1, 300, width=32)
box = st.tuples(coordinate, coordinate, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])


def iou_by_hand(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inner = width * height
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def test_iou_of_known_boxes() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4]], np.float32)
    np.testing.assert_allclose(pairwise_iou(a, b), [[1, 1 / 3, 0, 0.04]], rtol=1e-6)


@given(st.lists(box, min_size=1, max_size=5), st.lists(box, min_size=1, max_size=5))
def test_iou_agrees_with_the_definition_for_arrays_and_tensors(a: list, b: list) -> None:
    wanted = [[iou_by_hand(x, y) for y in b] for x in a]
    np.testing.assert_allclose(pairwise_iou(np.array(a), np.array(b)), wanted, rtol=1e-6, atol=1e-9)
    tensors = pairwise_iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    np.testing.assert_allclose(tensors.numpy(), wanted, rtol=1e-6, atol=1e-9)


def test_a_box_turned_inside_out_has_no_area_and_no_overlap() -> None:
    boxes = np.array([[5, 5, 1, 9], [0, 0, 0, 0]], np.float32)
    assert box_areas(boxes).tolist() == [0, 0]
    assert pairwise_iou(boxes, np.array([[0, 0, 10, 10]], np.float32)).tolist() == [[0], [0]]
