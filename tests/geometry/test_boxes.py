import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.anchors import anchors_to_boxes
from onelook.geometry.boxes import (
    box_areas,
    decode_boxes,
    decode_landmarks,
    encode_boxes,
    encode_landmarks,
    pairwise_iou,
    pairwise_overlap,
    refine_anchors,
)

coordinate = st.floats(-500, 500, width=32)
side = st.floats(1, 300, width=32)
box = st.tuples(coordinate, coordinate, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
anchor = st.tuples(coordinate, coordinate, side, side)


def test_box_offsets_by_hand() -> None:
    offsets = encode_boxes(torch.tensor([[12.0, 8.0, 28.0, 40.0]]), torch.tensor([[16.0, 16.0, 16.0, 16.0]]))
    # Center (20, 24) is (4, 8) from the anchor's, of 16 * 0.1; the height is twice the anchor's.
    torch.testing.assert_close(offsets, torch.tensor([[2.5, 5.0, 0.0, float(np.log(2) / 0.2)]]))


@given(st.lists(st.tuples(box, anchor), min_size=1, max_size=6))
def test_decoding_undoes_encoding(pairs: list) -> None:
    boxes = torch.tensor([p[0] for p in pairs], dtype=torch.float64)
    anchors = torch.tensor([p[1] for p in pairs], dtype=torch.float64)
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes, rtol=1e-6, atol=1e-4)
    points = torch.cat([boxes, boxes, boxes[:, :2]], dim=1).unflatten(1, (5, 2))
    torch.testing.assert_close(decode_landmarks(encode_landmarks(points, anchors), anchors), points)


def test_absent_landmarks_stay_absent() -> None:
    offsets = encode_landmarks(torch.full((1, 5, 2), torch.nan), torch.tensor([[8.0, 8.0, 16.0, 16.0]]))
    assert bool(offsets.isnan().all())


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


ANCHORS = torch.tensor([[20.0, 30.0, 16.0, 16.0], [50.0, 40.0, 64.0, 32.0]])


@given(st.lists(st.floats(-20, 20, width=32), min_size=16, max_size=16))
def test_refined_anchors_are_the_decoded_boxes_as_center_and_size(numbers: list[float]) -> None:
    offsets = torch.tensor(numbers).reshape(2, 2, 4)
    refined = refine_anchors(offsets, ANCHORS)
    assert refined.shape == (2, 2, 4)
    torch.testing.assert_close(anchors_to_boxes(refined), decode_boxes(offsets, ANCHORS), rtol=1e-4, atol=1e-2)


def test_a_second_regression_from_refined_anchors_reaches_the_box() -> None:
    box = torch.tensor([[12.0, 20.0, 31.0, 37.0], [30.0, 30.0, 70.0, 66.0]])
    refined = refine_anchors(torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(0)), ANCHORS)[0]
    torch.testing.assert_close(decode_boxes(encode_boxes(box, refined), refined), box, rtol=1e-4, atol=1e-3)


def test_wild_offsets_change_a_side_by_62_times_at_most() -> None:
    wild = torch.tensor([[[0.0, 0.0, 1e9, -1e9], [0.0, 0.0, torch.inf, 0.0]]])
    torch.testing.assert_close(refine_anchors(wild, ANCHORS)[0, :, 2:], torch.tensor([[1000.0, 0.256], [4000.0, 32.0]]))


def test_refined_anchors_carry_no_gradient() -> None:
    assert not refine_anchors(torch.zeros(1, 2, 4, requires_grad=True), ANCHORS).requires_grad


def test_overlap_is_the_fraction_of_the_smaller_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [2, 2, 6, 6], [5, 0, 15, 10], [20, 20, 20, 20]], np.float32)
    expected = [[1, 1, 0.5, 0], [1, 1, 0.25, 0], [0.5, 0.25, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(pairwise_overlap(boxes, boxes), expected)
    np.testing.assert_allclose(pairwise_overlap(torch.from_numpy(boxes), torch.from_numpy(boxes)), expected)
