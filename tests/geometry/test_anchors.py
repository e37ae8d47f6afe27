import pytest
import torch

from onelook.geometry.anchors import FULL_LEVELS, LIGHT_LEVELS, AnchorLevel, anchors_to_boxes, make_anchors


def test_the_first_and_last_anchors_of_each_level_at_640() -> None:
    anchors = make_anchors(640, 640, LIGHT_LEVELS)
    assert anchors.shape == (80 * 80 * 2 + 40 * 40 * 2 + 20 * 20 * 2, 4)
    assert anchors[:3].tolist() == [[4, 4, 16, 16], [4, 4, 32, 32], [12, 4, 16, 16]]
    assert anchors[12800:12802].tolist() == [[8, 8, 64, 64], [8, 8, 128, 128]]
    assert anchors[-2:].tolist() == [[624, 624, 256, 256], [624, 624, 512, 512]]


def test_a_second_row_follows_the_first() -> None:
    anchors = make_anchors(16, 24, [AnchorLevel(8, (16,))])
    assert anchors[:, :2].tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]


def test_a_side_that_is_no_multiple_of_the_stride_gets_one_more_cell() -> None:
    assert len(make_anchors(250, 250, LIGHT_LEVELS)) == 2 * (32**2 + 16**2 + 8**2)


def test_corners() -> None:
    torch.testing.assert_close(
        anchors_to_boxes(torch.tensor([[4.0, 6.0, 8.0, 2.0]])), torch.tensor([[0.0, 5.0, 8.0, 7.0]])
    )


def test_the_full_levels_are_the_published_table() -> None:
    """RetinaFace (2019), table 2: three sides a level, 102,300 anchors at 640x640, three quarters of them on P2."""
    assert [level.stride for level in FULL_LEVELS] == [4, 8, 16, 32, 64]
    published = [
        (16, 20.16, 25.40),
        (32, 40.32, 50.80),
        (64, 80.63, 101.59),
        (128, 161.26, 203.19),
        (256, 322.54, 406.37),
    ]
    for level, sides in zip(FULL_LEVELS, published, strict=True):
        assert level.sizes == pytest.approx(sides, abs=0.011)  # some are cut, not rounded
    anchors = make_anchors(640, 640, FULL_LEVELS)
    assert len(anchors) == 102_300 and len(make_anchors(640, 640, FULL_LEVELS[:1])) == 76_800
    assert anchors[0].tolist() == [2, 2, 16, 16] and anchors[3, :2].tolist() == [6, 2]
    assert anchors[-1, :2].tolist() == [608, 608] and round(float(anchors[-1, 2]), 2) == 406.37
