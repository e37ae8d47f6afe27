import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.anchors import anchors_to_boxes
from onelook.geometry.boxes import decode_boxes, encode_boxes, refined_anchors

ANCHORS = torch.tensor([[20.0, 30.0, 16.0, 16.0], [50.0, 40.0, 64.0, 32.0]])


@given(st.lists(st.floats(-20, 20, width=32), min_size=16, max_size=16))
def test_they_are_the_decoded_boxes_as_center_and_size(numbers: list[float]) -> None:
    offsets = torch.tensor(numbers).reshape(2, 2, 4)
    refined = refined_anchors(offsets, ANCHORS)
    assert refined.shape == (2, 2, 4)
    torch.testing.assert_close(anchors_to_boxes(refined), decode_boxes(offsets, ANCHORS), rtol=1e-4, atol=1e-2)


def test_a_second_regression_from_them_reaches_the_box() -> None:
    box = torch.tensor([[12.0, 20.0, 31.0, 37.0], [30.0, 30.0, 70.0, 66.0]])
    refined = refined_anchors(torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(0)), ANCHORS)[0]
    torch.testing.assert_close(decode_boxes(encode_boxes(box, refined), refined), box, rtol=1e-4, atol=1e-3)


def test_wild_offsets_change_a_side_by_62_times_at_most() -> None:
    wild = torch.tensor([[[0.0, 0.0, 1e9, -1e9], [0.0, 0.0, torch.inf, 0.0]]])
    torch.testing.assert_close(
        refined_anchors(wild, ANCHORS)[0, :, 2:], torch.tensor([[1000.0, 0.256], [4000.0, 32.0]])
    )


def test_they_carry_no_gradient() -> None:
    assert not refined_anchors(torch.zeros(1, 2, 4, requires_grad=True), ANCHORS).requires_grad
