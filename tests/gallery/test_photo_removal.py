"""Removal of one photo of a person."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import read_image
from onelook.errors import GalleryError
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery

Photo = Callable[..., Path]


@pytest.fixture
def gallery(tmp_path: Path, metadata: GalleryMetadata, predictor, photo: Photo) -> Gallery:
    gallery = Gallery(FaissBackend(tmp_path / "gallery", metadata), predictor)
    gallery.enroll("Anna", [photo(1, path="a/1.png"), photo(2, path="a/2.png"), photo(1, variant=3, path="b/2.png")])
    gallery.enroll("Bob", [photo(4, path="bob.png")])
    return gallery


@pytest.mark.parametrize("named", ["as enrolled", "copy", "name"])
def test_one_wrong_photo_is_removed(gallery: Gallery, tmp_path: Path, named: str) -> None:
    (tmp_path / "copy.png").write_bytes((tmp_path / "a/1.png").read_bytes())
    paths = {"as enrolled": tmp_path / "a/1.png", "copy": tmp_path / "copy.png", "name": Path("1.png")}
    before = storage.read(gallery.location)
    assert gallery.remove(" Anna", paths[named]) == 1
    after = storage.read(gallery.location)
    assert after.faces == before.faces[1:]
    np.testing.assert_array_equal(after.embeddings, before.embeddings[1:])
    assert gallery.people() == {"Anna": 2, "Bob": 1}


@pytest.mark.parametrize(
    ("name", "photo_name", "message"),
    [
        ("Anna", "2.png", "2.png: Anna has .*a/2.png, .*b/2.png; name the path of one"),
        ("Anna", "bob.png", "bob.png: not enrolled as Anna, who has .*a/1.png, .*; name one of these"),
        ("Bob", "bob.png", "bob.png: Bob has no other photo; `onelook forget` removes the person"),
        ("Carl", "1.png", "Carl: nobody of that name is enrolled"),
    ],
)
def test_what_cannot_be_removed_is_explained(gallery: Gallery, name: str, photo_name: str, message: str) -> None:
    with pytest.raises(GalleryError, match=message):
        gallery.remove(name, photo_name)
    assert gallery.people() == {"Anna": 3, "Bob": 1}


def test_the_face_of_a_group_photo_is_chosen_enrolled_and_removed(gallery: Gallery, photo: Photo) -> None:
    group = photo(5, 6, 7)
    for person, face in (("Eve", 1), ("Finn", (55.0, 0.0, 70.0, 70.0)), ("Gil", 3)):
        assert gallery.enroll(person, group, face=face).added == 1
    assert gallery.enroll("Eve", group, face=1).already_enrolled == 1
    gallery.enroll("Eve", photo(5, variant=2))
    assert gallery.remove("Eve", group) == 1
    assert [face.name for face in gallery.identify(photo(7, 6, 5, variant=1))] == ["Gil", "Finn", "Eve"]


def test_arrays_and_bytes_are_enrolled_like_files(gallery: Gallery, photo: Photo) -> None:
    path = photo(9)
    gallery.enroll("Hal", path)
    assert gallery.enroll("Hal", path.read_bytes()).already_enrolled == 1
    image = read_image(path)
    assert gallery.enroll("Hal", [image, image[:, :, ::-1].copy()[:, :, ::-1]]).added == 1
    assert gallery.enroll("Hal", image[:, :, ::-1], color="bgr").already_enrolled == 1
    stored = [face.photo for face in gallery.faces_by_person()["Hal"]]
    assert stored[0] == str(path) and stored[1].startswith("array ")
    assert gallery.remove("Hal", stored[1]) == 1
