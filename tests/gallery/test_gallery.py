"""Enrollment and identification through Gallery."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import CodedPredictor
from helpers.gallery_backends import equal_data
from onelook.data.image_io import read_image
from onelook.errors import GalleryError, PhotoError
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.open_set import ImpostorModel

Photo = Callable[..., Path]


@pytest.fixture
def gallery(tmp_path: Path, metadata: GalleryMetadata, predictor) -> Gallery:
    return Gallery(FaissBackend(tmp_path / "gallery", metadata), predictor)


def test_enrolled_people_are_named_and_others_unknown(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [photo(1), photo(1, variant=1)])
    gallery.enroll("Bob", [photo(2)])
    faces = gallery.identify(photo(2, 9, 1, variant=5))
    assert [face.name for face in faces] == ["Bob", None, "Anna"]
    assert faces[1].nearest in ("Anna", "Bob")
    assert [face.score for face in faces] == pytest.approx([0.9, 0.85, 0.8])
    np.testing.assert_array_equal(faces[2].box, [120, 5, 180, 65])


def test_similarity_is_the_inner_product_with_the_weighted_template(gallery: Gallery, photo: Photo, predictor) -> None:
    gallery.enroll("Anna", [photo(1), photo(1, variant=1, side=40), photo(1, variant=2, side=50)])
    probe = photo(1, variant=7)
    rows = storage.read(gallery.location).embeddings
    weights = [entry.weight for entry in storage.read(gallery.location).faces]
    assert len(set(weights)) == 3
    mean = np.average(rows, axis=0, weights=weights)
    expected = predictor.predict([read_image(probe)], None)[0].embeddings[0] @ (mean / np.linalg.norm(mean))
    assert gallery.identify(probe)[0].similarity == pytest.approx(float(expected), abs=1e-6)


def test_a_similarity_equal_to_the_threshold_is_named(
    tmp_path: Path, metadata: GalleryMetadata, predictor, photo: Photo
) -> None:
    probe = photo(1, variant=7)
    first = Gallery(FaissBackend(tmp_path / "first", metadata), predictor)
    first.enroll("Anna", [photo(1)])
    similarity = first.identify(probe)[0].similarity
    for threshold, name in ((similarity, "Anna"), (np.nextafter(similarity, 2), None)):
        exact = metadata.model_copy(update={"threshold": float(threshold)})
        second = Gallery(FaissBackend(tmp_path / str(threshold), exact), predictor)
        second.enroll("Anna", [photo(1)])
        assert second.identify(probe)[0].name == name
        assert second.identify(probe)[0].nearest == "Anna"


def test_the_threshold_follows_the_number_of_people(
    tmp_path: Path, metadata: GalleryMetadata, predictor, photo: Photo
) -> None:
    law = ImpostorModel(mean=0.0, std=0.2, intercept=-1.0, slope=0.8)
    gallery = Gallery(FaissBackend(tmp_path / "own", metadata.model_copy(update={"impostor_model": law})), predictor)
    thresholds, sure = [], []
    for person in range(1, 5):
        gallery.enroll(f"p{person}", [photo(person)])
        thresholds.append(gallery.threshold)
        sure.append(gallery.identify(photo(1, variant=3))[0].confidence)
    assert thresholds == [law.threshold(0.01, people) for people in (1, 2, 3, 4)]
    assert thresholds == sorted(set(thresholds))
    assert sure == sorted(set(sure), reverse=True)
    assert storage.read(gallery.location).metadata == gallery.metadata


def test_margin_is_the_difference_to_the_second_person(gallery: Gallery, photo: Photo, predictor) -> None:
    gallery.enroll("Anna", [photo(1), photo(1, variant=1)])
    probe = photo(1, variant=7)
    assert gallery.identify(probe)[0].margin is None
    gallery.enroll("Bob", [photo(2)])
    face = gallery.identify(probe)[0]
    known = storage.read(gallery.location)
    asked = predictor.predict([read_image(probe)], None)[0].embeddings[0]
    bob = float(known.embeddings[[entry.person == "Bob" for entry in known.faces]][0] @ asked)
    assert face.margin == pytest.approx(face.similarity - bob, abs=1e-6)
    assert face.to_dict()["margin"] == round(face.margin, 6)
    assert face.confidence is None  # this gallery's calibration tells none


def test_an_empty_gallery_names_nobody(gallery: Gallery, photo: Photo) -> None:
    face = gallery.identify(photo(1))[0]
    assert (face.name, face.similarity, face.nearest) == (None, None, None)
    gallery.enroll("Anna", [photo(1)])
    gallery.forget("Anna")
    assert gallery.people() == {}
    assert gallery.identify(photo(1))[0].to_dict()["similarity"] is None


def test_a_photo_without_a_face_has_no_faces(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [photo(1)])
    assert gallery.identify(photo()) == []


def test_an_array_is_identified_like_its_file(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [str(photo(1))])
    path = photo(1, variant=3)
    assert gallery.identify(read_image(path))[0].to_dict() == gallery.identify(str(path))[0].to_dict()


def test_one_unusable_photo_enrolls_nobody(gallery: Gallery, photo: Photo, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    for bad, said in (
        (photo(), "no face"),
        (photo(1, 2), "2 faces"),
        (photo(1, side=20), "20 pixels large"),
        (photo(1, blur=8), "blurred"),
        (broken, "empty"),
        (tmp_path / "none", "no such"),
    ):
        with pytest.raises(PhotoError, match=said) as caught:
            gallery.enroll("Anna", [photo(1), bad])
        assert str(bad) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert gallery.people() == {}
    assert not gallery.location.exists()


def test_a_photo_is_enrolled_once(gallery: Gallery, photo: Photo) -> None:
    first = gallery.enroll("Anna", [photo(1), photo(1)])
    assert (first.added, first.already_enrolled, first.total) == (1, 1, 1)
    again = gallery.enroll("Anna", [photo(1), photo(1, variant=1)])
    assert (again.added, again.already_enrolled, again.total) == (1, 1, 2)
    with pytest.raises(GalleryError, match="enrolled as Anna"):
        gallery.enroll("Bob", [photo(2), photo(1)])
    assert gallery.people() == {"Anna": 2}


def test_names_are_normalized(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Ça\u011fla", [photo(1)])
    gallery.enroll("  C\u0327ag\u0306la ", [photo(1, variant=1)])
    assert gallery.people() == {"Çağla": 2}
    gallery.forget("C\u0327ag\u0306la")
    assert gallery.people() == {}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\tb", "\x1b[31mred", "\u202egnp", "x" * 201, "Unknown", "\udcff"])
def test_invalid_names_are_refused(gallery: Gallery, photo: Photo, name: str) -> None:
    with pytest.raises(GalleryError) as caught:
        gallery.enroll(name, [photo(1)])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Çağla Işık", "김민수", "王小明", "علی\u200cرضا", "O'Neil-Šimić 3rd", "x" * 200])
def test_names_of_any_script_are_accepted(gallery: Gallery, photo: Photo, name: str) -> None:
    gallery.enroll(name, [photo(1)])
    assert gallery.identify(photo(1))[0].name == name


def test_another_model_is_refused(gallery: Gallery, photo: Photo, predictor) -> None:
    gallery.enroll("Anna", [photo(1)])
    other = CodedPredictor("b" * 64)
    with pytest.raises(GalleryError, match="made with model aaaaaaaaaaaa, this is model bbbbbbbbbbbb"):
        Gallery(FaissBackend(gallery.location), other)


def test_a_gallery_replaced_by_another_models_is_not_mixed(
    gallery: Gallery, photo: Photo, predictor, metadata: GalleryMetadata
) -> None:
    gallery.enroll("Anna", [photo(1)])
    remade = empty_gallery(metadata.model_copy(update={"fingerprint": "b" * 64}))
    storage.create(gallery.location, remade, replace=True)
    with pytest.raises(GalleryError, match="two models"):
        gallery.enroll("Bob", [photo(2)])
    assert storage.read(gallery.location).faces == ()


def test_concurrently_opened_galleries_keep_each_others_changes(gallery: Gallery, photo: Photo, predictor) -> None:
    gallery.enroll("Anna", [photo(1)])
    other = Gallery(FaissBackend(gallery.location), predictor)
    gallery.enroll("Bob", [photo(2)])
    other.enroll("Carl", [photo(3)])
    assert other.people() == {"Anna": 1, "Bob": 1, "Carl": 1}
    gallery.forget("Carl")
    assert gallery.people() == {"Anna": 1, "Bob": 1}


def test_renamed_and_merged_people_are_identified_by_the_new_name(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [photo(1)])
    gallery.enroll("Ann", [photo(1, variant=1)])
    gallery.rename(" Anna", "C\u0327ag\u0306la")
    assert gallery.identify(photo(1))[0].name == "Çağla"
    gallery.merge("Ann", "Çağla")
    assert gallery.people() == {"Çağla": 2}
    assert gallery.identify(photo(1, variant=1))[0].name == "Çağla"


def test_any_change_is_undone_unless_another_one_followed(gallery: Gallery, photo: Photo, predictor) -> None:
    with gallery.record_changes() as enrollment:
        gallery.enroll("Anna", [photo(1), photo(1, variant=1)])
    enrolled, revision = storage.read(gallery.location), gallery.revision()
    changes = [
        lambda: gallery.forget("Anna"),
        lambda: gallery.rename("Anna", "Eve"),
        lambda: gallery.reject("Anna", enrolled.embeddings[0]),
        lambda: gallery.remove_photos("Anna", [enrolled.faces[0].sha256]),
    ]
    for change in changes:
        with gallery.record_changes() as recorded:
            change()
        assert gallery.revision() != revision
        gallery.revert(recorded)
        assert gallery.revision() == revision
        reverted = storage.read(gallery.location)
        assert equal_data(reverted, enrolled) and (reverted.rejections, reverted.forgotten) == ((), ())
    other = Gallery(FaissBackend(gallery.location), predictor)
    other.enroll("Bob", [photo(2)])
    with pytest.raises(GalleryError, match="changed since; nothing was undone"):
        gallery.revert(enrollment)
    assert storage.read(gallery.location).identities == ["Anna", "Anna", "Bob"]


def test_photo_path_and_digest_are_stored(gallery: Gallery, photo: Photo) -> None:
    path = photo(1)
    gallery.enroll("Anna", [path])
    (entry,) = storage.read(gallery.location).faces
    assert entry.photo == str(path)
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_undecodable_file_name_is_escaped(gallery: Gallery, photo: Photo, tmp_path: Path) -> None:
    odd = tmp_path / "an\udcffna\n.png"
    odd.write_bytes(photo(1).read_bytes())
    gallery.enroll("Anna", [odd])
    (entry,) = storage.read(gallery.location).faces
    assert entry.photo == f"{tmp_path}/an\\xffna\\n.png"
