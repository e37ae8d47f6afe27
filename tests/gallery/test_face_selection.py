"""The face of a photo that counts."""

import numpy as np
import pytest

from onelook.errors import PhotoError
from onelook.gallery.face_selection import FaceChoice, select_face

BOXES = np.array([[10, 20, 60, 90], [100, 20, 200, 160], [300, 20, 340, 60]], np.float32)
SCORES = np.array([0.99, 0.98, 0.97], np.float32)


def select(choice: FaceChoice, count: int = 3, scores: np.ndarray = SCORES) -> int:
    return select_face(BOXES[:count], scores[:count], choice, "a.jpg", "crop it")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("largest", 1),
        (1, 0),
        (3, 2),
        ((90, 0, 120, 170), 1),
        ((95, 80, 80, 60), 1),  # a rough box
        ((0, 0, 400, 200), 1),  # of several, the one that fills it most
        ((0, 10, 70, 90), 0),
    ],
)
def test_a_choice_selects_a_face(choice: FaceChoice, expected: int) -> None:
    assert select(choice) == expected


def test_a_single_face_needs_no_choice() -> None:
    assert select(None, count=1) == 0
    # Detections far less sure than the best do not count.
    assert select(None, scores=np.array([0.999, 0.6, 0.55], np.float32)) == 0


@pytest.mark.parametrize(
    ("choice", "count", "message"),
    [
        (None, 3, "a.jpg: 3 faces found (1: 10,20,50,70; 2: 100,20,100,140; 3: 300,20,40,40); crop it"),
        (4, 1, "a.jpg: has no face 4, but 1: 10,20,50,70; name one of these"),
        (0, 1, "a.jpg: has no face 0, but 1: 10,20,50,70; name one of these"),
        ((200, 100, 50, 50), 1, "a.jpg: no face in the box 200,100,50,50, but 1: 10,20,50,70; name one of these"),
        ("largest", 0, "a.jpg: no face found; use a photo with one clear face"),
    ],
)
def test_an_impossible_choice_lists_the_faces(choice: FaceChoice, count: int, message: str) -> None:
    with pytest.raises(PhotoError) as caught:
        select(choice, count)
    assert str(caught.value) == message


def test_many_faces_are_counted_instead_of_listed() -> None:
    boxes = np.tile(BOXES, (6, 1))
    with pytest.raises(PhotoError, match=r"18 faces found \(.*; 6: 300,20,40,40; and 12 more\)"):
        select_face(boxes, np.full(18, 0.9), None, "a.jpg", "crop it")
