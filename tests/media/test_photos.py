"""Reading photos ahead, and how many are looked at together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onelook.data.photo import write_photo
from onelook.errors import PhotoError
from onelook.gallery.enrolment import PASS
from onelook.media.photos import MOST_BYTES, passes, picture_path, read_ahead
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
    for place, (source, image) in enumerate(read_ahead(sources())):
        assert isinstance(image, np.ndarray) and source.path.name == f"{place}.png"
        assert (image == place).all()
        most = max(most, asked - place)
    assert 2 <= most <= PASS + 2, "a folder of any size takes the memory of a few photos"


def test_a_photo_that_cannot_be_read_takes_its_place() -> None:
    refused = Source(Path("link.jpg"), "photo", why="link.jpg: a link out of here")
    outcomes = [image for _, image in read_ahead([Source(Path("absent.jpg"), "photo"), refused])]
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
