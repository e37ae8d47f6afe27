from pathlib import Path

import pytest

from helpers.portraits import group
from onelook.errors import PhotoError
from onelook.page import session as module
from onelook.page.controller import PageController
from onelook.page.session import SessionStore


@pytest.fixture
def controller(tmp_path: Path) -> PageController:
    return PageController(tmp_path / "gallery")


def test_photos_belong_to_the_browser_and_follow_the_gallery(controller: PageController) -> None:
    store = SessionStore(controller)
    mine, other = store.open("a"), store.open("b")
    first, second = mine.add(group((19, 1), (11, 1)), "a.png"), mine.add(group((11, 2)), "b.png")
    assert list(mine.photos()) == [first, second]
    assert store.open("a") is mine and store.find("a") is mine and store.find("c") is None
    assert other.photo(first) is None
    photo = mine.photo(first)
    assert photo is not None
    controller.name(photo.faces[1], "Ada")
    mine.refresh()
    assert [[face.identified.name for face in photo.faces] for photo in mine.photos().values()] == [
        [None, "Ada"],
        ["Ada"],
    ]
    with pytest.raises(PhotoError, match=r"^c.png: "):
        mine.add(b"text", "c.png")
    assert len(mine.photos()) == 2


def test_the_oldest_photos_and_sessions_are_dropped(
    controller: PageController, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PHOTOS", 2)
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    store = SessionStore(controller)
    session = store.open("a")
    keys = [session.add(group((19, 1)), "a.png") for _ in range(3)]
    assert list(session.photos()) == keys[1:]
    store.open("b")
    store.open("a")
    store.open("c")
    assert [store.find(token) is None for token in "abc"] == [False, True, False]
