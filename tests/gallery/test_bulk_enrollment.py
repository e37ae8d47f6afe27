"""Enrolling many: everything is accounted for, and a run that breaks off is begun again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.gallery import bulk_enrollment, storage
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.gallery.enrollment_list import EnrollmentItem, read_enrollment_list
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery

Photo = Callable[..., Path]


@pytest.fixture
def gallery(tmp_path: Path, terms: GalleryMetadata, looker) -> Gallery:
    return Gallery(FaissBackend(tmp_path / "gallery", empty_gallery(terms)), looker)


def reopened(gallery: Gallery, looker) -> Gallery:
    return Gallery(FaissBackend(gallery.folder, storage.read(gallery.folder)), looker)


def test_every_photo_is_enrolled_known_or_left_out_and_why(gallery: Gallery, photo: Photo, tmp_path: Path) -> None:
    first = photo(1, path="people/Anna/1.png")
    photo(1, variant=1, path="people/Anna/2.png")
    (tmp_path / "people/Anna/copy.png").write_bytes(first.read_bytes())
    photo(2, path="people/Bob/1.png")
    photo(path="people/Bob/2.png")
    photo(2, 3, path="people/Bob/3.png")
    photo(2, side=20, path="people/Bob/4.png")
    photo(2, blur=8, path="people/Bob/5.png")
    (tmp_path / "people/Bob/6.png").write_bytes(b"")
    (tmp_path / "people/Bob/7.png").write_bytes(first.read_bytes())
    photo(path="people/Carl/1.png")
    report = gallery.enroll_all(read_enrollment_list(tmp_path / "people"))
    assert (report.added, report.known) == (3, 1)
    whys = [(Path(each.photo).relative_to(tmp_path / "people").as_posix(), each.why) for each in report.left_out]
    expected = {
        "Bob/2.png": "no face found",
        "Bob/3.png": "2 faces found",
        "Bob/4.png": "20 pixels large",
        "Bob/5.png": "blurred",
        "Bob/6.png": "empty",
        "Bob/7.png": "enrolled as Anna",
        "Carl/1.png": "no face found",
    }
    assert {name for name, _ in whys} == set(expected)
    for name, why in whys:
        assert expected[name] in why and name in why and "\n" not in why
    assert report.missing == ("Carl",)
    assert gallery.people() == {"Anna": 2, "Bob": 1}


def test_the_rows_are_those_of_enrolling_one_by_one(
    gallery: Gallery, photo: Photo, tmp_path: Path, terms: GalleryMetadata, looker
) -> None:
    single = Gallery(FaissBackend(tmp_path / "single", empty_gallery(terms)), looker)
    people = [EnrollmentItem(name, photo(i, variant=v)) for i, name in enumerate("abcdef") for v in range(4)]
    gallery.enroll_all(people)
    for each in people:
        single.enroll(each.name, [each.photo])
    mine, other = storage.read(gallery.folder), storage.read(single.folder)
    assert mine.entries == other.entries
    np.testing.assert_array_equal(mine.embeddings, other.embeddings)


def test_a_run_that_breaks_off_keeps_what_was_saved_and_goes_on(
    gallery: Gallery, photo: Photo, looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_enrollment, "SAVE", 5)
    people = [EnrollmentItem(f"p{i}", photo(i)) for i in range(12)]

    def broken() -> Iterator[EnrollmentItem]:
        yield from people[:8]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.enroll_all(broken())
    assert storage.read(gallery.folder).owners == [f"p{i}" for i in range(5)]
    looker.seen = 0
    report = reopened(gallery, looker).enroll_all(people)
    assert (report.added, report.known, report.left_out) == (7, 5, ())
    assert looker.seen == 7, "what is enrolled is not looked at again"
    assert storage.read(gallery.folder).owners == [f"p{i}" for i in range(12)]
    looker.seen = 0
    assert reopened(gallery, looker).enroll_all(people).known == 12
    assert looker.seen == 0


def test_people_enrolled_under_another_name_are_pointed_out_and_left_apart(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [photo(1)])
    report = gallery.enroll_all([EnrollmentItem("Ann", photo(1, variant=1)), EnrollmentItem("Bob", photo(2))])
    assert [(pair.name, pair.other) for pair in report.alike] == [("Ann", "Anna")]
    assert report.alike[0].similarity >= gallery.terms.threshold
    assert gallery.people() == {"Ann": 1, "Anna": 1, "Bob": 1}
    assert gallery.enroll_all([EnrollmentItem(" Bob ", photo(2))]).known == 1, "one name however it is typed"
    assert gallery.enroll("Annie", [photo(1, variant=2)]).alike[0].name == "Annie"
    assert gallery.enroll("Dora", [photo(4)]).alike == ()


def test_what_another_process_enrolled_meanwhile_is_kept(gallery: Gallery, photo: Photo, looker) -> None:
    gallery.enroll("Anna", [photo(1)])
    other = reopened(gallery, looker)

    def photos() -> Iterator[EnrollmentItem]:
        other.enroll("Bob", [photo(2)])
        yield EnrollmentItem("Bob", photo(2))
        yield EnrollmentItem("Bill", photo(2))
        yield EnrollmentItem("Carl", photo(3))

    report = gallery.enroll_all(photos())
    assert (report.added, report.known) == (1, 1)
    assert [each.why.split(": ", 1)[1] for each in report.left_out] == [
        "this photo is enrolled as Bob; take it from one of the two"
    ]
    assert gallery.people() == {"Anna": 1, "Bob": 1, "Carl": 1}


def test_with_nothing_to_enroll_no_gallery_is_begun(gallery: Gallery, photo: Photo) -> None:
    report = gallery.enroll_all([EnrollmentItem("Anna", photo())])
    assert (report.added, report.missing) == (0, ("Anna",))
    assert not gallery.folder.exists()


def test_the_pipelines_gallery_is_not_filled_by_hand(
    tmp_path: Path, terms: GalleryMetadata, photo: Photo, looker
) -> None:
    managed = empty_gallery(terms.model_copy(update={"managed": True}))
    storage.create(tmp_path / "g", managed)
    with pytest.raises(GalleryError, match="pipeline"):
        Gallery(FaissBackend(tmp_path / "g", managed), looker).enroll_all([EnrollmentItem("Anna", photo(1))])
