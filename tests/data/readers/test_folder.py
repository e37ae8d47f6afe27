"""The reader of a user's own photos, with the layouts users have."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from onelook.data.image_io import write_image
from onelook.data.readers.folder import read_folder
from onelook.errors import DataError, OnelookError
from onelook.settings import FolderSettings


def add_photo(path: Path, seed: int, shape: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8))


def settings(root: Path, minimum: int = 2, longest_side: int = 1024) -> FolderSettings:
    return FolderSettings(path=str(root), minimum_photos=minimum, longest_side=longest_side)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(("zoe/2.png", "zoe/10.jpg", "anna lena/a.png", "anna lena/b.png")):
        add_photo(tmp_path / "photos" / name, i)
    return tmp_path / "photos"


def test_people_and_photos_come_in_the_order_of_their_names(root: Path) -> None:
    reading = read_folder(settings(root))
    assert [(p.identity, p.source) for p in reading.portraits] == [
        ("anna lena", "anna lena/a.png"),
        ("anna lena", "anna lena/b.png"),
        ("zoe", "zoe/10.jpg"),
        ("zoe", "zoe/2.png"),
    ]


def test_hidden_files_and_files_beside_the_people_are_ignored(root: Path) -> None:
    (root / ".DS_Store").write_bytes(b"x")
    (root / "zoe" / ".thumbnail.jpg").write_bytes(b"x")
    (root / ".git").mkdir()
    (root / "readme.txt").write_text("about")
    assert len(read_folder(settings(root)).portraits) == 4


def test_names_are_composed_unicode(root: Path) -> None:
    stored = unicodedata.normalize("NFD", "José")
    for i in (7, 8):
        add_photo(root / stored / f"{i}.png", i)
    assert "José" in {portrait.identity for portrait in read_folder(settings(root)).portraits}


def test_large_photos_are_scaled_down_small_ones_kept(root: Path) -> None:
    add_photo(root / "zoe" / "wide.png", 9, (100, 400))
    portraits = {p.source: p for p in read_folder(settings(root, longest_side=200)).portraits}
    assert portraits["zoe/wide.png"].read().shape == (50, 200, 3)
    assert portraits["zoe/2.png"].read().shape == (40, 30, 3)


def test_copies_of_a_photo_are_left_out_and_told(root: Path) -> None:
    (root / "zoe" / "copy.jpg").write_bytes((root / "zoe" / "10.jpg").read_bytes())
    reading = read_folder(settings(root))
    assert len(reading.portraits) == 4
    assert reading.left_out == (f"{root}/zoe/copy.jpg: left out, a copy of {root}/zoe/10.jpg",)
    (root / "zoe" / "2.png").unlink()
    with pytest.raises(DataError, match="zoe: 1 usable photo, fewer than"):
        read_folder(settings(root))


def test_one_photo_under_two_people_is_an_error(root: Path) -> None:
    (root / "anna lena" / "z.jpg").write_bytes((root / "zoe" / "10.jpg").read_bytes())
    with pytest.raises(DataError, match=r"the same photo as .* of another person"):
        read_folder(settings(root))


def test_a_missing_or_empty_folder_and_a_person_without_photos_are_errors(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: no such folder; set prepare\.folder\.path"):
        read_folder(settings(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty; it must hold a directory per person"):
        read_folder(settings(tmp_path / "empty"))
    (root / "bob").mkdir()
    with pytest.raises(DataError, match="bob: no photo"):
        read_folder(settings(root, minimum=1))


def test_a_person_with_one_photo_is_an_error_unless_allowed(root: Path) -> None:
    add_photo(root / "bob" / "1.png", 11)
    with pytest.raises(DataError, match=r"bob: 1 usable photo, fewer than prepare\.folder\.minimum_photos = 2"):
        read_folder(settings(root))
    assert len(read_folder(settings(root, minimum=1)).portraits) == 5


def test_links_out_of_the_folder_are_refused_links_within_are_not(root: Path, tmp_path: Path) -> None:
    add_photo(tmp_path / "secret.png", 12)
    link = root / "zoe" / "link.png"
    link.symlink_to(tmp_path / "secret.png")
    with pytest.raises(OnelookError, match="a link out of"):
        read_folder(settings(root))
    link.unlink()
    add_photo(tmp_path / "elsewhere" / "1.png", 13)
    (root / "eve").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OnelookError, match="eve: a link out of"):
        read_folder(settings(root))
    (root / "eve").unlink()
    (root / "ann").symlink_to(root / "anna lena")
    with pytest.raises(DataError, match="of another person"):  # the same photos under a second name
        read_folder(settings(root))


def test_a_folder_inside_a_persons_folder_is_not_silently_lost(root: Path) -> None:
    add_photo(root / "zoe" / "2019" / "1.png", 14)
    with pytest.raises(DataError, match="a folder inside a person's folder"):
        read_folder(settings(root))
