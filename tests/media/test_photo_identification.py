"""Photos read and named, and how many are looked at together."""

from pathlib import Path

import numpy as np
import pytest

from helpers.painted import paint
from onelook.data.image_io import write_image
from onelook.gallery.enrollment import PASS
from onelook.gallery.gallery import Gallery
from onelook.media import photo_identification
from onelook.media.discovery import Source
from onelook.media.photo_identification import MOST_BYTES, identify_photos, passes, picture_path


def test_a_photo_that_cannot_be_read_takes_its_place(painted: Gallery, tmp_path: Path) -> None:
    write_image(tmp_path / "anna.png", paint((1, 10, 10)))
    names = ["absent.jpg", "anna.png", "link.jpg", "anna.png"]
    refused = "link.jpg: a link out of here"
    sources = [Source(tmp_path / name, "photo", why=refused if name == "link.jpg" else None) for name in names]
    found = identify_photos(painted, None, sources)
    assert [each.source for each in found] == sources
    assert [each.line["error"] for each in found] == [f"{tmp_path}/absent.jpg: no such photo", None, refused, None]
    assert [[face["name"] for face in each.line["faces"]] for each in found] == [[], ["Anna"], [], ["Anna"]]
    assert [each.line["more"] for each in found] == [True, True, True, False], "what one step writes"


def test_what_one_pass_cannot_take_another_one_does(
    painted: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(5):
        write_image(tmp_path / f"{place}.png", paint((1 + place % 4, 10, 10)))
    sources = [Source(tmp_path / f"{place}.png", "photo") for place in range(5)]
    in_one = identify_photos(painted, None, sources)
    monkeypatch.setattr(photo_identification, "MOST_BYTES", 2 * paint().nbytes)
    in_three = identify_photos(painted, None, sources)
    assert [each.line for each in in_three] == [each.line for each in in_one]
    assert [each.unknown[0] is None for each in in_three] == [True, True, False, False, True]
    for one, other in zip(in_one, in_three, strict=True):
        np.testing.assert_array_equal(one.unknown, other.unknown)


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
