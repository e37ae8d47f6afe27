"""The page controller with the released weights on faces of the embedded ORL data."""

import base64
from pathlib import Path

import numpy as np
import pytest

from helpers.portraits import group
from onelook.data.image_io import decode_image, encode_image
from onelook.errors import GalleryError, PhotoError
from onelook.gallery import storage
from onelook.gallery.gallery import create_gallery, open_gallery
from onelook.model.model_folder import RELEASED
from onelook.page.controller import PageController
from onelook.page.photos import DisplayedPhoto


def names(photo: DisplayedPhoto) -> list[str | None]:
    return [face.identified.name for face in photo.faces]


def test_a_named_face_is_identified_in_the_next_photo_until_it_is_forgotten(tmp_path: Path) -> None:
    controller = PageController(tmp_path / "gallery")
    photo = controller.identify(group((19, 1), (11, 1), (14, 1)), "party.png")
    assert (photo.width, photo.height, photo.name) == (888, 336, "party.png")
    assert names(photo) == [None, None, None]
    lefts = [float(face.identified.box[0]) for face in photo.faces]
    assert lefts == sorted(lefts)
    assert not (tmp_path / "gallery").exists(), "identification writes nothing"
    enrollment = controller.name(photo.faces[1], "Ada")
    assert (enrollment.name, enrollment.added, enrollment.total) == ("Ada", 1, 1)
    assert names(*controller.reidentify([photo])) == [None, "Ada", None]
    next_photo = controller.identify(group((9, 1), (11, 2)), "next.png")
    assert names(next_photo) == [None, "Ada"]
    (ada,) = controller.people()
    assert (ada.name, [name for name, _ in ada.photos]) == ("Ada", ["party.png"])
    assert ada.photos[0][1] == photo.faces[1].pending.thumbnail
    controller.forget("Ada")
    assert controller.people() == []
    assert names(*controller.reidentify([next_photo])) == [None, None]
    file_bytes = b"".join(path.read_bytes() for path in (tmp_path / "gallery").iterdir())
    assert b"Ada" not in file_bytes
    assert photo.faces[1].pending.thumbnail.encode() not in file_bytes


def test_reidentify_equals_a_new_identification_of_the_photo(tmp_path: Path) -> None:
    controller = PageController(tmp_path / "gallery")
    data = group((19, 1), (11, 1))
    photo = controller.identify(data, "a.png")
    controller.name(photo.faces[0], "Ada")
    for reidentified, identified in zip(
        controller.reidentify([photo])[0].faces, controller.identify(data, "a.png").faces, strict=True
    ):
        assert (reidentified.identified.name, reidentified.identified.nearest) == (
            identified.identified.name,
            identified.identified.nearest,
        )
        assert reidentified.identified.similarity == pytest.approx(identified.identified.similarity, abs=1e-5)
        np.testing.assert_array_equal(reidentified.identified.box, identified.identified.box)


def test_changes_by_other_processes_are_loaded(tmp_path: Path) -> None:
    controller = PageController(tmp_path / "gallery")
    data = group((22, 1))
    assert names(controller.identify(data, "a.png")) == [None]
    (tmp_path / "b.png").write_bytes(group((22, 2)))
    create_gallery(tmp_path / "gallery").enroll("Bob", [tmp_path / "b.png"])
    assert names(controller.identify(data, "a.png")) == ["Bob"]
    open_gallery(tmp_path / "gallery").rename("Bob", "Rob")
    assert [person.name for person in controller.people()] == ["Rob"]
    open_gallery(tmp_path / "gallery").forget("Rob")
    with pytest.raises(GalleryError, match="nobody of that name"):
        controller.forget("Rob")
    assert names(controller.identify(data, "a.png")) == [None]


def test_a_managed_gallery_is_read_only(tmp_path: Path) -> None:
    own = create_gallery(tmp_path / "own")
    (tmp_path / "b.png").write_bytes(group((22, 2)))
    own.enroll("Bob", [tmp_path / "b.png"])
    data = storage.read(tmp_path / "own")
    managed = data.metadata.model_copy(update={"managed": True})
    storage.create(tmp_path / "built", type(data)(managed, data.faces, data.embeddings))
    controller = PageController(tmp_path / "built", model=RELEASED)
    assert controller.read_only and not PageController(tmp_path / "own").read_only
    photo = controller.identify(group((22, 1), (9, 1)), "a.png")
    assert names(photo) == ["Bob", None]
    with pytest.raises(GalleryError, match="the pipeline rebuilds"):
        controller.name(photo.faces[1], "Eve")
    with pytest.raises(GalleryError, match="the pipeline rebuilds"):
        controller.forget("Bob")


def test_a_photo_error_is_one_line_with_the_file_name(tmp_path: Path) -> None:
    controller = PageController(tmp_path / "gallery")
    for data, message in ((b"", "empty"), (b"text", "not a photo"), (group((1, 1))[:-500], "truncated")):
        with pytest.raises(PhotoError, match=f"^holiday.png: .*{message}") as caught:
            controller.identify(data, "holiday.png")
        assert "\n" not in str(caught.value)
    with pytest.raises(PhotoError, match=r"^a\\nb: empty"):
        controller.identify(b"", "a\nb")
    wall = encode_image(np.full((300, 300, 3), 127, np.uint8), ".png")
    photo = controller.identify(wall, "wall.png")
    assert photo.faces == () and controller.reidentify([photo]) == [photo]


def test_a_large_photo_is_displayed_scaled_down_and_its_boxes_are_in_original_pixels(tmp_path: Path) -> None:
    small = decode_image(group((19, 1), (11, 1)), "a")
    large = encode_image(np.repeat(np.repeat(small, 5, 0), 5, 1), ".png")
    photo = PageController(tmp_path / "gallery").identify(large, "large.png")
    assert (photo.width, photo.height) == (2960, 1680)
    assert decode_image(photo.jpeg, "display").shape == (908, 1600, 3)
    assert len(photo.faces) == 2
    assert photo.faces[1].identified.box[0] > 1480
    thumbnail = decode_image(base64.b64decode(photo.faces[1].pending.thumbnail), "thumbnail")
    assert thumbnail.std() > 10
