from pathlib import Path

import pytest

from helpers.portraits import group
from onelook.errors import PhotoError
from onelook.page import session as module
from onelook.page.controller import PageController
from onelook.page.session import Session, SessionStore
from onelook.service.shared_gallery import SharedGallery


@pytest.fixture
def controller(tmp_path: Path) -> PageController:
    return PageController(SharedGallery(tmp_path / "gallery"))


def names(session: Session) -> list[list[str | None]]:
    return [[face.identified.name for face in photo.faces] for photo in session.photos()]


def test_photos_belong_to_the_browser_and_follow_the_gallery(controller: PageController) -> None:
    store = SessionStore(controller)
    mine, other = store.open("a"), store.open("b")
    first, second = mine.add(group((19, 1), (11, 1)), "a.png"), mine.add(group((11, 2)), "b.png")
    assert mine.add(group((11, 2)), "again.png") == second, "the same file is kept once"
    assert [photo.key for photo in mine.photos()] == [first, second]
    assert store.open("a") is mine and store.find("a") is mine and store.find("c") is None
    assert other.photo(first) is None and other.add(group((11, 2)), "b.png") != second
    ada = mine.photos()[0].faces[1]
    assert mine.faces([ada.key, "gone-1", f"{first}-9"]) == [ada]
    controller.name([ada], "Ada")
    assert names(mine) == [[None, None], [None]]
    mine.refresh()
    assert names(mine) == [[None, "Ada"], ["Ada"]]
    unchanged = mine.photos()
    mine.refresh()
    assert mine.photos() == unchanged
    with pytest.raises(PhotoError, match=r"^c.png: "):
        mine.add(b"text", "c.png")
    mine.close_photos()
    assert mine.photos() == [] and mine.photo(first) is None


def test_unknown_people_are_grouped_until_they_get_a_name(controller: PageController) -> None:
    session = Session(controller)
    for data in (group((19, 1), (11, 1)), group((11, 2)), group((11, 3), (9, 1))):
        session.add(data, "a.png")
    unknown = session.unknown_faces()
    (shown,) = unknown.groups
    assert (len(shown.faces), len(unknown.singles), shown.suggestion) == (3, 2, None)
    assert session.unknown_faces() is unknown
    assert controller.name(shown.faces, "Ada").message == "Ada has 3 pictures now"
    session.refresh()
    assert session.unknown_faces().groups == ()


def test_the_oldest_photos_and_sessions_are_dropped(
    controller: PageController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PHOTOS", 2)
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    store = SessionStore(controller)
    session = store.open("a")
    keys = [session.add(group((19, number)), "a.png") for number in (1, 2, 3)]
    assert [photo.key for photo in session.photos()] == keys[1:]
    for token in "bcd":  # visits without photos
        store.open(token)
    assert [store.find(token) is None for token in "abcd"] == [False, True, True, False]
    store.open("d").add(group((19, 1)), "a.png")
    store.open("e").add(group((19, 1)), "a.png")
    assert [store.find(token) is None for token in "ade"] == [True, False, False]
