"""Labels cover no face but their own, and no other label."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.label_layout import Placement, place_labels

HEIGHT, WIDTH = 300, 400


@st.composite
def crowds(draw: st.DrawFn) -> tuple[np.ndarray, list[list[tuple[int, int]]]]:
    """Draw boxes inside the image, some of them overlapping, and the sizes of their labels, some without."""
    boxes, sizes = [], []
    for _ in range(draw(st.integers(1, 15))):
        x1, y1 = draw(st.integers(0, WIDTH - 2)), draw(st.integers(0, HEIGHT - 2))
        x2 = draw(st.integers(x1 + 1, min(WIDTH, x1 + 150)))
        y2 = draw(st.integers(y1 + 1, min(HEIGHT, y1 + 150)))
        boxes.append((x1, y1, x2, y2))
        columns = draw(st.integers(10, WIDTH + 20))
        sizes.append(draw(st.sampled_from([[], [(24, columns), (12, columns // 2)]])))
    return np.array(boxes), sizes


def overlap(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@settings(max_examples=60)
@given(crowds())
def test_a_label_covers_no_other_face_and_no_other_label(crowd: tuple[np.ndarray, list[list[tuple[int, int]]]]) -> None:
    boxes, sizes = crowd
    labels: list[tuple[int, ...]] = []
    for number, (placement, choices) in enumerate(zip(place_labels(boxes, sizes, HEIGHT, WIDTH), sizes, strict=True)):
        if placement is None:
            continue
        rows, columns = choices[placement.size]
        label = (placement.left, placement.top, placement.left + columns, placement.top + rows)
        assert label[0] >= 0 and label[1] >= 0 and label[2] <= WIDTH and label[3] <= HEIGHT
        others = [tuple(box) for box in np.delete(boxes, number, axis=0).tolist()]
        assert not any(overlap(label, other) for other in [*others, *labels])
        labels.append(label)
        x1, y1, x2, y2 = boxes[number]
        touches = overlap(label, (x1 - 1, y1 - 1, x2 + 1, y2 + 1))
        assert touches or placement.is_away


def test_a_label_without_obstacles_is_above_its_box_in_full_size() -> None:
    assert place_labels(np.array([[100, 100, 180, 200]]), [[(20, 60), (10, 30)]], HEIGHT, WIDTH) == [
        Placement(0, 100, 80, False)
    ]


def test_a_long_name_becomes_smaller_instead_of_touching_a_neighbor() -> None:
    boxes = np.array([[100, 100, 150, 160], [170, 100, 220, 160], [30, 100, 80, 160]])
    placement, *_ = place_labels(boxes, [[(20, 120), (10, 54)], [], []], HEIGHT, WIDTH)
    assert placement == Placement(1, 98, 90, False)


def test_the_last_resorts_are_the_own_box_free_space_and_no_label() -> None:
    row = np.array([[0, 0, 200, HEIGHT], [200, 0, WIDTH, HEIGHT]])
    assert place_labels(row, [[(20, 60)], []], HEIGHT, WIDTH) == [Placement(0, 70, 280, False), None]
    hidden = np.array([[10, 10, 60, 60], [0, 0, 200, HEIGHT]])
    away, _ = place_labels(hidden, [[(20, 60)], []], HEIGHT, WIDTH)
    assert away is not None and away.is_away and 200 <= away.left <= 210 and away.top <= 60
    assert place_labels(np.array([[10, 10, 60, 60], [0, 0, WIDTH, HEIGHT]]), [[(20, 60)], []], HEIGHT, WIDTH) == [
        None,
        None,
    ]
