"""Drawn faces and contact sheets, by their pixels."""

import numpy as np
import pytest

from onelook.drawing import GREEN, ORANGE, SKY, VERMILLION, draw_boxes, draw_mesh, text_mask, tile_images
from onelook.geometry.mesh import NUM_VERTICES, edges

GRAY = 90


def blank(height: int = 300, width: int = 400) -> np.ndarray:
    return np.full((height, width, 3), GRAY, np.uint8)


def where(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((picture == color).all(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_a_box_lies_on_its_pixels_and_the_photo_is_not_touched() -> None:
    photo = blank()
    drawn = draw_boxes(photo, np.asarray([[100, 50, 200, 170]], np.float32))
    assert (photo == GRAY).all()
    assert (drawn[50, 100:200] == SKY).all()
    assert (drawn[169, 100:200] == SKY).all()
    assert (drawn[50:170, 100] == SKY).all()
    assert (drawn[50:170, 199] == SKY).all()
    assert (drawn[60:160, 110:190] == GRAY).all()
    assert (drawn[:40] == GRAY).all()


def test_what_reaches_outside_is_cut_off() -> None:
    boxes = np.asarray([[-50, -20, 120, 90], [500, 400, 600, 500], [350, 250, 1e9, np.inf], [5, 5, 5, 5]], np.float32)
    landmarks = np.full((4, 5, 2), 1e9, np.float32)
    drawn = draw_boxes(blank(), boxes, landmarks, ["a", "b", "c", "d"], [SKY, VERMILLION, GREEN, ORANGE])
    assert drawn.shape == (300, 400, 3)
    assert (drawn[0, :120] == SKY).all()
    assert where(drawn, GREEN)[2:] == (400, 300)


def test_absent_landmarks_are_not_drawn() -> None:
    landmarks = np.full((1, 5, 2), np.nan, np.float32)
    box = np.asarray([[10, 10, 12, 12]], np.float32)
    without = draw_boxes(blank(), box)
    np.testing.assert_array_equal(draw_boxes(blank(), box, landmarks), without)
    landmarks[0, 2] = 200, 150
    drawn = draw_boxes(blank(), box, landmarks)
    changed = np.argwhere((drawn != without).any(axis=2))
    assert (drawn[150, 200] == SKY).all()
    assert np.abs(changed - [150, 200]).max() <= 4


def test_a_mesh_joins_its_vertices_and_what_is_outside_is_cut_off() -> None:
    vertices = np.full((NUM_VERTICES, 3), 1e9, np.float32)
    one, other = edges()[0]
    vertices[[one, other]] = [[100.5, 50.5, 7], [200.5, 50.5, -7]]
    photo = blank()
    drawn = draw_mesh(photo, np.nan_to_num(vertices), SKY)
    mixed = np.array(SKY) * 0.6 + GRAY * 0.4
    np.testing.assert_allclose(drawn[50, 101:200], np.tile(mixed, (99, 1)), atol=10)  # its rim is soft
    assert (photo == GRAY).all() and (drawn[:50, :100] == GRAY).all()


@pytest.mark.parametrize("box", [(0, 0, 40, 40), (380, 0, 400, 20), (0, 280, 30, 300), (370, 270, 400, 300)])
@pytest.mark.parametrize("label", ["Al", "a longer name 0.87", "x" * 200])
def test_a_label_is_whole_and_inside(box: tuple[int, ...], label: str) -> None:
    empty = draw_boxes(blank(), np.asarray([box], np.float32), None, None, [GREEN])
    drawn = draw_boxes(blank(), np.asarray([box], np.float32), None, [label], [GREEN])
    changed = (drawn != empty).any(axis=2)
    rows, columns = np.nonzero(changed)
    plate = drawn[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    ink = (plate < np.asarray(GREEN) // 2).all(axis=2) if GREEN[0] else plate[..., 1] < GREEN[1] // 2
    assert ink.sum() > 20
    assert not ink[:, -1].any()  # nothing is cut at the right edge


def test_a_label_covers_no_neighbor_and_an_empty_one_is_not_drawn() -> None:
    boxes = np.asarray([[100, 100, 200, 200], [90, 20, 210, 95], [100, 205, 200, 260]], np.float32)
    without = draw_boxes(blank(), boxes, None, None, [GREEN, SKY, SKY])
    drawn = draw_boxes(blank(), boxes, None, ["Anna Karenina", "", ""], [GREEN, SKY, SKY])
    changed = (drawn != without).any(axis=2)
    assert changed.sum() > 200
    for x1, y1, x2, y2 in boxes[1:].astype(int):
        assert not changed[y1:y2, x1:x2].any()


def test_thin_boxes_have_thinner_lines() -> None:
    box = np.asarray([[100, 100, 600, 600]])
    thick, thin = (draw_boxes(blank(1200, 1200), box, thin=[is_thin]) for is_thin in (False, True))
    assert (thin == SKY).all(axis=2).sum() < 0.7 * (thick == SKY).all(axis=2).sum()


def test_letters_and_lines_grow_with_the_photo() -> None:
    small = draw_boxes(blank(), np.asarray([[100, 100, 200, 200]]), None, ["Anna"])
    large = draw_boxes(blank(3000, 4000), np.asarray([[1000, 1000, 2000, 2000]]), None, ["Anna"])
    (_, top_small, _, _), (_, top_large, _, _) = where(small, SKY), where(large, SKY)
    assert 1000 - top_large > 5 * (100 - top_small)
    assert (large[1005, 1000:2000] == SKY).all()


@pytest.mark.parametrize("text", ["Çağla Işık", "Ёлкин", "김민수", "王小明", "やまだ", "علی\u200cرضا", "Ω≈ç", "a b"])
def test_every_letter_of_a_script_has_its_own_shape(text: str) -> None:
    letters = sorted(set(text) - {" ", "\u200c"})
    shapes = {text_mask(letter, 40).tobytes() for letter in letters}
    assert len(shapes) == len(letters)  # a font without them draws the same box for all
    assert text_mask(text, 40).max() > 200
    assert text_mask(text, 40).shape[1] > text_mask(text[0], 40).shape[1]


def test_a_line_of_text_is_as_high_as_asked() -> None:
    for text in ("Anna gp", "김민수"):
        heights = []
        for size in (20, 80):
            rows = np.nonzero(text_mask(text, size).max(axis=1))[0]
            heights.append(int(rows[-1] - rows[0]) + 1)
            assert 0.5 * size < heights[-1] < 1.4 * size
        assert 3.3 < heights[1] / heights[0] < 4.7


def test_a_sheet_holds_every_image_in_order() -> None:
    colors = [SKY, ORANGE, GREEN, VERMILLION, (1, 2, 3)]
    shapes = [(50, 100), (200, 100), (30, 30), (100, 100), (10, 300)]
    images = [np.full((*shape, 3), color, np.uint8) for shape, color in zip(shapes, colors, strict=True)]
    sheet = tile_images(images, columns=2, width=412)
    places = [where(sheet, color) for color in colors]
    assert sheet.shape[1] == 412
    assert [place[2] - place[0] for place in places] == [200] * 5
    assert [place[3] - place[1] for place in places] == [100, 400, 200, 200, 7]
    assert [place[0] for place in places] == [4, 208, 4, 208, 4]
    assert [place[1] for place in places] == [4, 4, 408, 408, 612]
    assert (sheet[200, :200] == 255).all()
