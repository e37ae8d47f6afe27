"""Enrolling many: everything is accounted for, and a run that breaks off is begun again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from onelook.errors import GalleryError
from onelook.gallery import bulk, store
from onelook.gallery.contents import Terms, empty
from onelook.gallery.folder_engine import FolderEngine
from onelook.gallery.gallery import Gallery
from onelook.gallery.people_list import Named, read_people

Photo = Callable[..., Path]


@pytest.fixture
def gallery(tmp_path: Path, terms: Terms, looker) -> Gallery:
    return Gallery(FolderEngine(tmp_path / "gallery", empty(terms)), looker)


def reopened(gallery: Gallery, looker) -> Gallery:
    return Gallery(FolderEngine(gallery.folder, store.read(gallery.folder)), looker)


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
    report = gallery.enrol_all(read_people(tmp_path / "people"))
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
    gallery: Gallery, photo: Photo, tmp_path: Path, terms: Terms, looker
) -> None:
    single = Gallery(FolderEngine(tmp_path / "single", empty(terms)), looker)
    people = [Named(name, photo(i, variant=v)) for i, name in enumerate("abcdef") for v in range(4)]
    gallery.enrol_all(people)
    for each in people:
        single.enrol(each.name, [each.photo])
    mine, other = store.read(gallery.folder), store.read(single.folder)
    assert mine.entries == other.entries
    np.testing.assert_array_equal(mine.embeddings, other.embeddings)


def test_a_run_that_breaks_off_keeps_what_was_saved_and_goes_on(
    gallery: Gallery, photo: Photo, looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "SAVE", 5)
    people = [Named(f"p{i}", photo(i)) for i in range(12)]

    def broken() -> Iterator[Named]:
        yield from people[:8]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery.enrol_all(broken())
    assert store.read(gallery.folder).owners == [f"p{i}" for i in range(5)]
    looker.seen = 0
    report = reopened(gallery, looker).enrol_all(people)
    assert (report.added, report.known, report.left_out) == (7, 5, ())
    assert looker.seen == 7, "what is enrolled is not looked at again"
    assert store.read(gallery.folder).owners == [f"p{i}" for i in range(12)]
    looker.seen = 0
    assert reopened(gallery, looker).enrol_all(people).known == 12
    assert looker.seen == 0


def test_people_enrolled_under_another_name_are_pointed_out_and_left_apart(gallery: Gallery, photo: Photo) -> None:
    gallery.enrol("Anna", [photo(1)])
    report = gallery.enrol_all([Named("Ann", photo(1, variant=1)), Named("Bob", photo(2))])
    assert [(pair.name, pair.other) for pair in report.alike] == [("Ann", "Anna")]
    assert report.alike[0].similarity >= gallery.terms.threshold
    assert gallery.people() == {"Ann": 1, "Anna": 1, "Bob": 1}
    assert gallery.enrol_all([Named(" Bob ", photo(2))]).known == 1, "one name however it is typed"
    assert gallery.enrol("Annie", [photo(1, variant=2)]).alike[0].name == "Annie"
    assert gallery.enrol("Dora", [photo(4)]).alike == ()


def test_what_another_process_enrolled_meanwhile_is_kept(gallery: Gallery, photo: Photo, looker) -> None:
    gallery.enrol("Anna", [photo(1)])
    other = reopened(gallery, looker)

    def photos() -> Iterator[Named]:
        other.enrol("Bob", [photo(2)])
        yield Named("Bob", photo(2))
        yield Named("Bill", photo(2))
        yield Named("Carl", photo(3))

    report = gallery.enrol_all(photos())
    assert (report.added, report.known) == (1, 1)
    assert [each.why.split(": ", 1)[1] for each in report.left_out] == [
        "this photo is enrolled as Bob; take it from one of the two"
    ]
    assert gallery.people() == {"Anna": 1, "Bob": 1, "Carl": 1}


def test_with_nothing_to_enrol_no_gallery_is_begun(gallery: Gallery, photo: Photo) -> None:
    report = gallery.enrol_all([Named("Anna", photo())])
    assert (report.added, report.missing) == (0, ("Anna",))
    assert not gallery.folder.exists()


def test_the_pipelines_gallery_is_not_filled_by_hand(tmp_path: Path, terms: Terms, photo: Photo, looker) -> None:
    managed = empty(terms.model_copy(update={"managed": True}))
    store.create(tmp_path / "g", managed)
    with pytest.raises(GalleryError, match="pipeline"):
        Gallery(FolderEngine(tmp_path / "g", managed), looker).enrol_all([Named("Anna", photo(1))])
