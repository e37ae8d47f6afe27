"""What the page knows and does, with the released weights and people of the embedded default data."""

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
from onelook.page.controller import PageController, PhotoView


def names(predict: PhotoView) -> list[str | None]:
    return [face.answer.name for face in predict.faces]


def test_name_one_of_a_group_know_it_in_the_next_photo_and_forget(tmp_path: Path) -> None:
    desk = PageController(tmp_path / "gallery")
    predict = desk.predict(group((19, 1), (11, 1), (14, 1)), "party.png")
    assert (predict.width, predict.height, predict.photo) == (888, 336, "party.png")
    assert names(predict) == [None, None, None]
    lefts = [float(face.answer.box[0]) for face in predict.faces]
    assert lefts == sorted(lefts)
    assert not (tmp_path / "gallery").exists(), "looking writes nothing"
    done = desk.name(predict.faces[1], "Ada")
    assert (done.name, done.added, done.total) == ("Ada", 1, 1)
    assert names(desk.look_again(predict)) == [None, "Ada", None]
    following = desk.predict(group((9, 1), (11, 2)), "next.png")
    assert names(following) == [None, "Ada"]
    (ada,) = desk.people()
    assert (ada.name, [photo for photo, _ in ada.photos]) == ("Ada", ["party.png"])
    assert ada.photos[0][1] == predict.faces[1].seen.thumbnail
    desk.forget("Ada")
    assert desk.people() == []
    assert names(desk.look_again(following)) == [None, None]
    everything = b"".join(path.read_bytes() for path in (tmp_path / "gallery").iterdir())
    assert b"Ada" not in everything
    assert predict.faces[1].seen.thumbnail.encode() not in everything


def test_a_second_look_by_embedding_says_what_a_look_at_the_photo_says(tmp_path: Path) -> None:
    desk = PageController(tmp_path / "gallery")
    photo = group((19, 1), (11, 1))
    predict = desk.predict(photo, "a.png")
    desk.name(predict.faces[0], "Ada")
    for quick, whole in zip(desk.look_again(predict).faces, desk.predict(photo, "a.png").faces, strict=True):
        assert (quick.answer.name, quick.answer.nearest) == (whole.answer.name, whole.answer.nearest)
        assert quick.answer.similarity == pytest.approx(whole.answer.similarity, abs=1e-5)
        np.testing.assert_array_equal(quick.answer.box, whole.answer.box)


def test_what_other_processes_change_is_seen(tmp_path: Path) -> None:
    desk = PageController(tmp_path / "gallery")
    photo = group((22, 1))
    assert names(desk.predict(photo, "a.png")) == [None]
    (tmp_path / "b.png").write_bytes(group((22, 2)))
    create_gallery(tmp_path / "gallery").enroll("Bob", [tmp_path / "b.png"])
    assert names(desk.predict(photo, "a.png")) == ["Bob"]
    open_gallery(tmp_path / "gallery").rename("Bob", "Rob")
    assert [person.name for person in desk.people()] == ["Rob"]
    open_gallery(tmp_path / "gallery").forget("Rob")
    with pytest.raises(GalleryError, match="nobody of that name"):
        desk.forget("Rob")
    assert names(desk.predict(photo, "a.png")) == [None]


def test_a_gallery_of_the_pipeline_is_looked_at_and_not_changed(tmp_path: Path) -> None:
    own = create_gallery(tmp_path / "own")
    (tmp_path / "b.png").write_bytes(group((22, 2)))
    own.enroll("Bob", [tmp_path / "b.png"])
    contents = storage.read(tmp_path / "own")
    managed = contents.terms.model_copy(update={"managed": True})
    storage.create(tmp_path / "built", type(contents)(managed, contents.entries, contents.embeddings))
    desk = PageController(tmp_path / "built", model=RELEASED)
    assert desk.read_only and not PageController(tmp_path / "own").read_only
    predict = desk.predict(group((22, 1), (9, 1)), "a.png")
    assert names(predict) == ["Bob", None]
    with pytest.raises(GalleryError, match="the pipeline rebuilds"):
        desk.name(predict.faces[1], "Eve")
    with pytest.raises(GalleryError, match="the pipeline rebuilds"):
        desk.forget("Bob")


def test_what_is_wrong_with_a_photo_is_one_line_without_its_folder(tmp_path: Path) -> None:
    desk = PageController(tmp_path / "gallery")
    for data, said in ((b"", "empty"), (b"text", "not a photo"), (group((1, 1))[:-500], "truncated")):
        with pytest.raises(PhotoError, match=f"^holiday.png: .*{said}") as caught:
            desk.predict(data, "holiday.png")
        assert "\n" not in str(caught.value)
    with pytest.raises(PhotoError, match=r"^a\\nb: empty"):
        desk.predict(b"", "a\nb")
    wall = encode_image(np.full((300, 300, 3), 127, np.uint8), ".png")
    predict = desk.predict(wall, "wall.png")
    assert predict.faces == () and desk.look_again(predict) is predict


def test_a_large_photo_is_shown_shrunk_and_boxes_are_of_the_whole(tmp_path: Path) -> None:
    small = decode_image(group((19, 1), (11, 1)), "a")
    large = encode_image(np.repeat(np.repeat(small, 5, 0), 5, 1), ".png")
    predict = PageController(tmp_path / "gallery").predict(large, "large.png")
    assert (predict.width, predict.height) == (2960, 1680)
    assert decode_image(predict.picture, "shown").shape == (908, 1600, 3)
    assert len(predict.faces) == 2
    assert predict.faces[1].answer.box[0] > 1480
    shown = decode_image(base64.b64decode(predict.faces[1].seen.thumbnail), "thumbnail")
    assert shown.std() > 10
