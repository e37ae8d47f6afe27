"""Enrollment of one face of a group photo, thumbnails, and refresh."""

import base64
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import decode_image, read_image
from onelook.errors import GalleryError, PhotoError
from onelook.gallery import storage
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.gallery.pending_face import PendingFace, make_pending_face
from onelook.gallery.thumbnail import make_thumbnail

Photo = Callable[..., Path]
Files = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def gallery(tmp_path: Path, metadata: GalleryMetadata, predictor) -> Gallery:
    return Gallery(FaissBackend(tmp_path / "gallery", metadata), predictor)


def see(gallery: Gallery, path: Path) -> list[PendingFace]:
    image = read_image(path)
    return [make_pending_face(image, face, path.name) for face in gallery.identify(image)]


def test_one_face_of_a_group_is_enrolled_and_identified(gallery: Gallery, photo: Photo) -> None:
    group = photo(3, 4, 5)
    done = gallery.enroll_face("  Anna ", see(gallery, group)[1])
    assert (done.name, done.added, done.already_enrolled, done.total) == ("Anna", 1, 0, 1)
    assert [face.name for face in gallery.identify(photo(5, 4, variant=9))] == [None, "Anna"]
    (entry,) = storage.read(gallery.location).faces
    box = gallery.identify(group)[1].box
    assert entry.thumbnail == make_thumbnail(read_image(group), box)
    assert entry.photo == group.name
    assert entry.sha256 == hashlib.sha256(base64.b64decode(entry.thumbnail)).hexdigest()


def test_quality_equals_that_of_a_single_enrollment(gallery: Gallery, photo: Photo) -> None:
    alone = photo(7, side=50)
    gallery.enroll("Anna", [alone])
    (entry,) = storage.read(gallery.location).faces
    (seen,) = see(gallery, alone)
    assert seen.quality == entry.quality
    assert seen.thumbnail == entry.thumbnail
    np.testing.assert_array_equal(seen.embedding, storage.read(gallery.location).embeddings[0])


def test_a_face_is_enrolled_once_and_for_one_person(gallery: Gallery, photo: Photo) -> None:
    first, second = see(gallery, photo(3, 4))
    gallery.enroll_face("Anna", first)
    again = gallery.enroll_face("Anna", first)
    assert (again.added, again.already_enrolled, again.total) == (0, 1, 1)
    with pytest.raises(GalleryError, match="enrolled as Anna"):
        gallery.enroll_face("Bob", first)
    gallery.enroll_face("Bob", second)
    assert gallery.people() == {"Anna": 1, "Bob": 1}


def test_faces_of_several_photos_are_enrolled_at_once_or_not_at_all(gallery: Gallery, photo: Photo) -> None:
    faces = [see(gallery, photo(3, other, variant=other))[0] for other in (4, 5)]
    (poor,) = see(gallery, photo(3, blur=8))
    with pytest.raises(PhotoError, match="blurred"):
        gallery.enroll_faces("Anna", [*faces, poor])
    assert not gallery.location.exists()
    done = gallery.enroll_faces("Anna", faces)
    assert (done.added, done.total, gallery.people()) == (2, 2, {"Anna": 2})


@pytest.mark.parametrize(("changes", "said"), [({"side": 20}, "20 pixels large"), ({"blur": 8}, "blurred")])
def test_a_low_quality_face_is_refused(gallery: Gallery, photo: Photo, changes: dict[str, float], said: str) -> None:
    (seen,) = see(gallery, photo(3, **changes))
    with pytest.raises(PhotoError, match=said):
        gallery.enroll_face("Anna", seen)
    assert not gallery.location.exists()


def test_thumbnails_follow_their_faces(gallery: Gallery, photo: Photo, files: Files, tmp_path: Path) -> None:
    first, second = see(gallery, photo(3, 4))
    gallery.enroll_face("Anna", first)
    gallery.enroll_face("Bob", second)
    gallery.rename("Anna", "Ada")
    gallery.enroll("Carl", [photo(8)])
    gallery.merge("Carl", "Bob")
    pictures = {name: [row.thumbnail for row in rows] for name, rows in gallery.faces_by_person().items()}
    assert pictures["Ada"] == [first.thumbnail]
    assert pictures["Bob"][0] == second.thumbnail
    assert len(pictures["Bob"]) == 2
    write_backup(tmp_path / "b.zip", storage.read(gallery.location))
    gallery.forget("Bob")
    everything = b"".join(files(gallery.location).values())
    # A thumbnail lies in pieces, each on a page.
    assert first.thumbnail.encode()[-64:] in everything
    for small in map(str.encode, pictures["Bob"]):
        shared = first.thumbnail.encode()
        pieces = [small[i : i + 32] for i in range(len(small) - 32)]
        assert not any(piece in everything for piece in pieces if piece not in shared)
    storage.restore(gallery.location, read_backup(tmp_path / "b.zip"), with_forgotten=True)
    assert [row.thumbnail for row in storage.read(gallery.location).faces_by_person()["Bob"]] == pictures["Bob"]


def test_every_enrollment_stores_a_thumbnail(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [photo(3)])
    gallery.enroll_face("Bob", see(gallery, photo(4, 5))[0])
    for entry in storage.read(gallery.location).faces:
        assert entry.thumbnail is not None
        assert decode_image(base64.b64decode(entry.thumbnail), "thumbnail").std() > 10


def test_refresh_reloads_changes_of_another_process(gallery: Gallery, photo: Photo, predictor, tmp_path: Path) -> None:
    gallery.refresh()
    assert gallery.people() == {}
    other = Gallery(FaissBackend(gallery.location, gallery.metadata), predictor)
    other.enroll("Anna", [photo(3)])
    assert gallery.people() == {}
    gallery.refresh()
    assert gallery.people() == {"Anna": 1}
    assert gallery.identify(photo(3, variant=2))[0].name == "Anna"
    gallery.enroll("Bob", [photo(4)])
    gallery.refresh()
    other.refresh()
    other.forget("Anna")
    gallery.refresh()
    assert gallery.people() == {"Bob": 1}
    gallery.location.rename(tmp_path / "away")
    gallery.refresh()
    assert gallery.people() == {}


def test_a_deleted_managed_gallery_can_be_recreated(gallery: Gallery, photo: Photo) -> None:
    storage.create(gallery.location, empty_gallery(gallery.metadata.model_copy(update={"managed": True})))
    gallery.refresh()
    assert gallery.metadata.managed
    shutil.rmtree(gallery.location)
    gallery.refresh()
    gallery.enroll("Anna", [photo(3)])
    assert gallery.people() == {"Anna": 1}


def test_refresh_refuses_a_gallery_of_another_model(gallery: Gallery, metadata: GalleryMetadata) -> None:
    foreign = metadata.model_copy(update={"fingerprint": "b" * 64})
    storage.create(gallery.location, empty_gallery(foreign))
    with pytest.raises(GalleryError, match="made with model bbbb"):
        gallery.refresh()
