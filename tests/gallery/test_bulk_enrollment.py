"""Bulk enrollment: every photo is accounted for, and an interrupted run resumes."""

import os
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
def gallery(tmp_path: Path, metadata: GalleryMetadata, predictor) -> Gallery:
    return Gallery(FaissBackend(tmp_path / "gallery", metadata), predictor)


def reopened(gallery: Gallery, predictor) -> Gallery:
    return Gallery(FaissBackend(gallery.location), predictor)


def test_every_photo_is_enrolled_or_skipped_with_a_reason(gallery: Gallery, photo: Photo, tmp_path: Path) -> None:
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
    assert (report.added, report.already_enrolled) == (3, 1)
    whys = [(Path(each.photo).relative_to(tmp_path / "people").as_posix(), each.reason) for each in report.skipped]
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
    assert report.missing_people == ("Carl",)
    assert gallery.people() == {"Anna": 2, "Bob": 1}


def test_pipes_devices_and_circles_of_links_are_skipped_unread(gallery: Gallery, photo: Photo, tmp_path: Path) -> None:
    folder = photo(1, path="people/Anna/1.png").parent
    os.mkfifo(folder / "2.png")
    (folder / "3.png").symlink_to("/dev/zero")
    (folder / "4.png").symlink_to("4.png")
    (folder / "5.png").symlink_to("..")
    (folder.parent / "Bob").symlink_to(".")
    report = gallery.enroll_all(read_enrollment_list(tmp_path / "people"))
    assert report.added == 1
    skipped = {Path(each.photo).relative_to(tmp_path / "people").as_posix() for each in report.skipped}
    assert skipped == {f"Anna/{number}.png" for number in (2, 3, 4, 5)} | {"Bob/Anna", "Bob/Bob"}
    assert all("\n" not in each.reason for each in report.skipped)


def test_bulk_enrollment_equals_single_enrollments(
    gallery: Gallery, photo: Photo, tmp_path: Path, metadata: GalleryMetadata, predictor
) -> None:
    single = Gallery(FaissBackend(tmp_path / "single", metadata), predictor)
    people = [EnrollmentItem(name, photo(i, variant=v)) for i, name in enumerate("abcdef") for v in range(4)]
    gallery.enroll_all(people)
    for each in people:
        single.enroll(each.name, [each.photo])
    mine, other = storage.read(gallery.location), storage.read(single.location)
    assert mine.faces == other.faces
    np.testing.assert_array_equal(mine.embeddings, other.embeddings)


def test_an_interrupted_run_keeps_its_saves_and_resumes(
    gallery: Gallery, photo: Photo, predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_enrollment, "SAVE_INTERVAL", 5)
    people = [EnrollmentItem(f"p{i}", photo(i)) for i in range(12)]

    def broken() -> Iterator[EnrollmentItem]:
        yield from people[:8]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.enroll_all(broken())
    assert storage.read(gallery.location).identities == [f"p{i}" for i in range(5)]
    predictor.predicted = 0
    report = reopened(gallery, predictor).enroll_all(people)
    assert (report.added, report.already_enrolled, report.skipped) == (7, 5, ())
    assert predictor.predicted == 7, "what is enrolled is not looked at again"
    assert storage.read(gallery.location).identities == [f"p{i}" for i in range(12)]
    predictor.predicted = 0
    assert reopened(gallery, predictor).enroll_all(people).already_enrolled == 12
    assert predictor.predicted == 0


def test_duplicates_are_reported_and_not_merged(gallery: Gallery, photo: Photo) -> None:
    gallery.enroll("Anna", [photo(1)])
    report = gallery.enroll_all([EnrollmentItem("Ann", photo(1, variant=1)), EnrollmentItem("Bob", photo(2))])
    assert [(pair.name, pair.other) for pair in report.duplicates] == [("Ann", "Anna")]
    assert report.duplicates[0].similarity >= gallery.metadata.threshold
    assert gallery.people() == {"Ann": 1, "Anna": 1, "Bob": 1}
    assert gallery.enroll_all([EnrollmentItem(" Bob ", photo(2))]).already_enrolled == 1, "one name however it is typed"
    assert gallery.enroll("Annie", [photo(1, variant=2)]).duplicates[0].name == "Annie"
    assert gallery.enroll("Dora", [photo(4)]).duplicates == ()


def test_concurrent_enrollments_of_another_process_are_kept(gallery: Gallery, photo: Photo, predictor) -> None:
    gallery.enroll("Anna", [photo(1)])
    other = reopened(gallery, predictor)

    def photos() -> Iterator[EnrollmentItem]:
        other.enroll("Bob", [photo(2)])
        yield EnrollmentItem("Bob", photo(2))
        yield EnrollmentItem("Bill", photo(2))
        yield EnrollmentItem("Carl", photo(3))

    report = gallery.enroll_all(photos())
    assert (report.added, report.already_enrolled) == (1, 1)
    assert [each.reason.split(": ", 1)[1] for each in report.skipped] == [
        "this photo is enrolled as Bob; take it from one of the two"
    ]
    assert gallery.people() == {"Anna": 1, "Bob": 1, "Carl": 1}


def test_no_gallery_is_created_without_a_usable_photo(gallery: Gallery, photo: Photo) -> None:
    report = gallery.enroll_all([EnrollmentItem("Anna", photo())])
    assert (report.added, report.missing_people) == (0, ("Anna",))
    assert not gallery.location.exists()


def test_a_managed_gallery_cannot_be_enrolled_into(
    tmp_path: Path, metadata: GalleryMetadata, photo: Photo, predictor
) -> None:
    managed = empty_gallery(metadata.model_copy(update={"managed": True}))
    storage.create(tmp_path / "g", managed)
    with pytest.raises(GalleryError, match="pipeline"):
        Gallery(FaissBackend(tmp_path / "g", managed), predictor).enroll_all([EnrollmentItem("Anna", photo(1))])
