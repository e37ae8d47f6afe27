"""Reading photos ahead, and how many are looked at together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onelook.data.photo import write_photo
from onelook.errors import PhotoError
from onelook.gallery.enrolment import PASS
from onelook.media.photos import MOST_BYTES, ReadAhead, passes, picture_path
from onelook.media.sources import Source


def test_photos_come_in_order_and_few_are_read_ahead(tmp_path: Path) -> None:
    for place in range(30):
        write_photo(tmp_path / f"{place}.png", np.full((4, 4, 3), place, np.uint8))
    asked = 0

    def sources() -> Iterator[Source]:
        nonlocal asked
        for place in range(30):
            asked += 1
            yield Source(tmp_path / f"{place}.png", "photo")

    most = 0
    for place, (source, image) in enumerate(ReadAhead(sources())):
        assert isinstance(image, np.ndarray) and source.path.name == f"{place}.png"
        assert (image == place).all()
        most = max(most, asked - place)
    assert 2 <= most <= PASS + 2, "a folder of any size takes the memory of a few photos"


def test_photos_are_read_when_asked_for_and_from_being_told_to_begin() -> None:
    asked: list[int] = []

    def sources() -> Iterator[Source]:
        for place in range(3 * PASS):
            asked.append(place)
            yield Source(Path(f"{place}.jpg"), "photo")

    ahead = ReadAhead(sources())
    photos = iter(ahead)
    assert not asked
    for _ in range(PASS):
        next(photos)
    assert len(asked) == PASS, "nothing is read while the network runs"
    ahead.begin()
    ahead.begin()
    assert len(asked) == 2 * PASS
    assert [str(source.path) for source, _ in photos] == [f"{place}.jpg" for place in range(PASS, 3 * PASS)]


def test_a_photo_that_cannot_be_read_takes_its_place() -> None:
    refused = Source(Path("link.jpg"), "photo", why="link.jpg: a link out of here")
    outcomes = [image for _, image in ReadAhead([Source(Path("absent.jpg"), "photo"), refused])]
    assert all(isinstance(each, PhotoError) for each in outcomes)
    assert [str(each) for each in outcomes] == ["absent.jpg: no such photo", "link.jpg: a link out of here"]


def test_a_pass_is_full_by_count_or_by_bytes() -> None:
    def sizes(*images: np.ndarray) -> list[int]:
        return [len(some) for some in passes([(Source(Path("a"), "photo"), image) for image in images])]

    small, large = np.zeros((2, 2, 3), np.uint8), np.zeros((MOST_BYTES // 30 + 1, 10, 3), np.uint8)
    assert sizes(*[small] * (2 * PASS + 3)) == [PASS, PASS, 3]
    assert sizes(large, large, small, large) == [1, 1, 2]
    assert sizes() == []


def test_pictures_of_photos_with_one_name_do_not_meet(tmp_path: Path) -> None:
    paths = {picture_path(tmp_path, Source(Path(f"{year}/trip/a.jpg"), "photo"), ".jpg") for year in (2019, 2020)}
    assert len(paths) == 2 and all(path.parent == tmp_path / "trip" for path in paths)
