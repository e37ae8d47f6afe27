import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.geometry.boxes import decode_boxes, decode_landmarks, encode_boxes, encode_landmarks

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
