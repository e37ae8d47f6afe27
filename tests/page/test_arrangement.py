import numpy as np
import pytest

from helpers.page_faces import make_face, make_photo
from onelook.page.arrangement import MAX_ASKED, TagPlace, arrange_faces, box_style, place_tags, shown_side

ABOVE, BELOW, ABOVE_RIGHT = TagPlace(False, False), TagPlace(True, False), TagPlace(False, True)


def test_box_style_is_in_percent_and_clipped_to_the_photo() -> None:
    assert box_style(np.asarray([20.0, 10.0, 60.0, 40.0]), 200, 100) == (10, 10, 20, 30)
    assert box_style(np.asarray([-50.0, 50.0, 250.0, 150.0]), 200, 100) == (0, 50, 100, 50)


def test_bystanders_are_collapsed() -> None:
    faces = {
        "named": make_face("named", name="Ada"),
        "small but named": make_face("small but named", (0, 0, 9, 9), name="Bob"),
        "asked": make_face("asked", (0, 0, 51, 51)),
        "bystander": make_face("bystander", (0, 0, 49, 49)),
        "not sure": make_face("not sure", reason="blurred"),
        "not enrollable": make_face("not enrollable", problem="the face is blurred"),
    }
    arrangement = arrange_faces(list(faces.values()))
    assert [face.key for face in arrangement.recognized] == ["named", "small but named"]
    assert [face.key for face in arrangement.asked] == ["asked", "not sure", "not enrollable"]
    assert [face.key for face in arrangement.others] == ["bystander"]
    assert arrangement.listed == arrangement.recognized + arrangement.asked
    assert arrange_faces([]).listed == ()


@pytest.mark.parametrize(("count", "asked"), [(MAX_ASKED, MAX_ASKED), (MAX_ASKED + 1, 0), (18, 0)])
def test_a_large_group_of_strangers_gets_no_rows(count: int, asked: int) -> None:
    arrangement = arrange_faces([make_face(str(i)) for i in range(count)])
    assert (len(arrangement.asked), len(arrangement.others)) == (asked, count - asked)


@pytest.mark.parametrize(
    ("boxes", "places"),
    [
        pytest.param([(100, 100, 200, 200)], [ABOVE], id="above the box"),
        pytest.param([(100, 10, 200, 200)], [BELOW], id="below, where the photo ends above"),
        pytest.param([(560, 100, 595, 200)], [ABOVE_RIGHT], id="to the left, where the photo ends on the right"),
        pytest.param([(100, 100, 200, 200), (100, 60, 200, 95)], [BELOW, ABOVE], id="not over another face"),
        pytest.param([(100, 100, 130, 200), (140, 100, 170, 200)], [ABOVE, BELOW], id="not over another tag"),
        pytest.param([(0, 0, 600, 400)], [], id="no space"),
        pytest.param([(100, 100, 200, 200), (0, 0, 600, 99), (0, 201, 600, 400)], [], id="faces all around"),
    ],
)
def test_tags_cover_neither_faces_nor_tags(boxes: list[tuple[float, ...]], places: list[TagPlace]) -> None:
    photo = make_photo(600, 400, *[make_face(str(i), box) for i, box in enumerate(boxes)])
    names = {face.key: "Ada Lovelace" for face in photo.faces[: max(1, len(places))]}
    assert list(place_tags(photo, names, (600, 400)).values()) == places


def test_tags_are_placed_in_pixels_of_the_screen() -> None:
    """The same photo has room for a name on a screen, and none on a phone."""
    faces = [make_face(str(i), (100 + 250 * i, 300, 300 + 250 * i, 500)) for i in range(4)]
    photo = make_photo(1200, 800, *faces)
    names = {face.key: "Ada Lovelace" for face in faces}
    assert set(place_tags(photo, names, (600, 600)).values()) == {ABOVE}
    assert place_tags(photo, names, (240, 600)) == {}
    assert shown_side(faces[0].identified.box, photo, (600, 600)) == 100
