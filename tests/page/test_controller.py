"""The page controller with the released weights on faces of the embedded ORL data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.portraits import group
from onelook.data.image_io import encode_image
from onelook.errors import GalleryError, PhotoError
from onelook.gallery import storage
from onelook.gallery.backend_factory import open_backend
from onelook.gallery.backup import write_backup
from onelook.gallery.copies import record_copy
from onelook.gallery.gallery import create_gallery, open_gallery
from onelook.model.model_folder import RELEASED
from onelook.page.controller import Change, PageController
from onelook.page.photos import DisplayedPhoto
from onelook.service.shared_gallery import SharedGallery


@pytest.fixture
def controller(tmp_path: Path) -> PageController:
    return PageController(SharedGallery(tmp_path / "gallery"))


def names(photo: DisplayedPhoto) -> list[str | None]:
    return [face.identified.name for face in photo.faces]


def reidentified(controller: PageController, photo: DisplayedPhoto) -> DisplayedPhoto:
    return controller.reidentify([photo])[0]


def undo(change: Change) -> None:
    assert change.undo is not None
    assert change.undo().message == "Undone"


def test_a_named_face_is_identified_in_the_next_photo_until_it_is_forgotten(
    controller: PageController, tmp_path: Path
) -> None:
    photo = controller.identify(group((19, 1), (11, 1), (14, 1)), "party.png", "a")
    assert (photo.width, photo.height, photo.name) == (888, 336, "party.png")
    assert names(photo) == [None, None, None]
    assert not (tmp_path / "gallery").exists(), "identification writes nothing"
    assert controller.name([photo.faces[1]], "Ada").message == "Ada has 1 picture now"
    assert controller.name([photo.faces[1]], " aDA").message == "Ada has this picture already"
    assert names(reidentified(controller, photo)) == [None, "Ada", None]
    next_photo = controller.identify(group((9, 1), (11, 2)), "next.png", "b")
    assert names(next_photo) == [None, "Ada"]
    assert [face.is_enrolled for face in (*reidentified(controller, photo).faces, *next_photo.faces)] == [
        *(False, True, False),
        *(False, False),
    ]
    (ada,) = controller.people()
    assert (ada.name, [face.photo for face in ada.pictures]) == ("Ada", ["party.png"])
    assert controller.describe_search() == "exact search"
    assert controller.picture(ada.pictures[0].sha256) is not None
    record_copy(tmp_path / "gallery", "backup", tmp_path / "before.zip")
    write_backup(tmp_path / "before.zip", open_backend(tmp_path / "gallery").read_data())
    message = controller.forget("Ada").message
    assert message.startswith("Ada is forgotten here. These copies still hold Ada: backup before.zip.")
    (tmp_path / "before.zip").unlink()
    assert controller.people() == []
    assert controller.picture(ada.pictures[0].sha256) is None
    assert names(reidentified(controller, next_photo)) == [None, None]
    file_bytes = b"".join(path.read_bytes() for path in (tmp_path / "gallery").iterdir())
    assert b"Ada" not in file_bytes
    assert photo.faces[1].pending.thumbnail.encode() not in file_bytes


def test_reidentify_equals_a_new_identification_of_the_photo(controller: PageController) -> None:
    data = group((19, 1), (11, 1))
    photo = controller.identify(data, "a.png", "a")
    controller.name([photo.faces[0]], "Ada")
    again = controller.identify(data, "a.png", "a")
    for one, other in zip(reidentified(controller, photo).faces, again.faces, strict=True):
        assert (one.identified.name, one.identified.nearest) == (other.identified.name, other.identified.nearest)
        assert one.identified.similarity == pytest.approx(other.identified.similarity, abs=1e-5)
        np.testing.assert_array_equal(one.identified.box, other.identified.box)


def test_every_change_can_be_undone(controller: PageController) -> None:
    photo = controller.identify(group((19, 1), (11, 1)), "a.png", "a")
    undo(controller.name(photo.faces[:1], "Ada"))
    assert controller.names() == []
    controller.name(photo.faces[:1], "Ada")
    controller.name(photo.faces[1:], "Bob")
    other = controller.identify(group((19, 2)), "b.png", "b")
    controller.name(other.faces, "Ada")
    before = controller.people()
    changes: list[tuple[Callable[[], Change], list[str]]] = [
        (lambda: controller.rename("Ada", "Eve"), ["Bob", "Eve"]),
        (lambda: controller.merge("Bob", "Ada"), ["Ada"]),
        (lambda: controller.forget("Ada"), ["Bob"]),
        (lambda: controller.remove_picture("Ada", before[0].pictures[0].sha256), ["Ada", "Bob"]),
    ]
    for change, left in changes:
        made = change()
        assert controller.names() == left and controller.people() != before
        undo(made)
        assert controller.people() == before
    first = controller.rename("Ada", "Eve")
    controller.rename("Bob", "Rob")
    assert first.undo is not None
    with pytest.raises(GalleryError, match="has been changed since"):
        first.undo()


def test_a_rejected_face_loses_the_name_also_after_a_restart(controller: PageController, tmp_path: Path) -> None:
    controller.name(controller.identify(group((11, 1)), "a.png", "a").faces, "Ada")
    data = group((11, 2), (19, 1))
    photo = controller.identify(data, "b.png", "b")
    assert names(photo) == ["Ada", None]
    change = controller.reject(photo.faces[0])
    assert change.message.startswith("This is not Ada")
    later = PageController(SharedGallery(tmp_path / "gallery"))
    assert names(later.identify(data, "b.png", "b")) == [None, None]
    assert later.identify(data, "b.png", "b").faces[0].identified.rejected
    undo(change)
    assert names(reidentified(controller, photo)) == ["Ada", None]


def test_rejecting_a_picture_that_somebody_was_enrolled_with_removes_it(controller: PageController) -> None:
    first = controller.identify(group((11, 1)), "a.png", "a")
    controller.name(first.faces, "Ada")
    wrong = controller.identify(group((19, 1)), "b.png", "b")
    controller.name(wrong.faces, "Ada")
    controller.reject(reidentified(controller, wrong).faces[0])
    assert [face.photo for face in controller.people()[0].pictures] == ["a.png"]
    assert names(reidentified(controller, wrong)) == [None]
    assert "only this picture" in controller.reject(reidentified(controller, first).faces[0]).message
    assert controller.names() == []


def test_changes_by_other_processes_are_loaded(controller: PageController, tmp_path: Path) -> None:
    data = group((22, 1))
    version = controller.version()
    assert names(controller.identify(data, "a.png", "a")) == [None]
    assert controller.version() == version
    (tmp_path / "b.png").write_bytes(group((22, 2)))
    create_gallery(tmp_path / "gallery").enroll("Bob", [tmp_path / "b.png"])
    assert controller.version() != version
    assert names(controller.identify(data, "a.png", "a")) == ["Bob"]
    open_gallery(tmp_path / "gallery").rename("Bob", "Rob")
    assert controller.names() == ["Rob"]
    open_gallery(tmp_path / "gallery").forget("Rob")
    with pytest.raises(GalleryError, match="nobody of that name"):
        controller.forget("Rob")


def test_a_managed_gallery_is_read_only(tmp_path: Path) -> None:
    own = create_gallery(tmp_path / "own")
    (tmp_path / "b.png").write_bytes(group((22, 2)))
    own.enroll("Bob", [tmp_path / "b.png"])
    data = storage.read(tmp_path / "own")
    managed = data.metadata.model_copy(update={"managed": True})
    storage.create(tmp_path / "built", type(data)(managed, data.faces, data.embeddings))
    controller = PageController(SharedGallery(tmp_path / "built", model=RELEASED))
    assert controller.read_only
    photo = controller.identify(group((22, 1), (9, 1)), "a.png", "a")
    assert names(photo) == ["Bob", None]
    for change in (lambda: controller.name(photo.faces[1:], "Eve"), lambda: controller.forget("Bob")):
        with pytest.raises(GalleryError, match="the pipeline rebuilds"):
            change()


def test_a_photo_error_is_one_line_with_the_file_name(controller: PageController) -> None:
    for data, message in ((b"", "empty"), (b"text", "not a photo"), (group((1, 1))[:-500], "truncated")):
        with pytest.raises(PhotoError, match=f"^holiday.png: .*{message}") as caught:
            controller.identify(data, "holiday.png", "a")
        assert "\n" not in str(caught.value)
    with pytest.raises(PhotoError, match=r"^a\\nb: empty"):
        controller.identify(b"", "a\nb", "a")
    wall = encode_image(np.full((300, 300, 3), 127, np.uint8), ".png")
    photo = controller.identify(wall, "wall.png", "a")
    assert photo.faces == () and controller.reidentify([photo]) == [photo]
