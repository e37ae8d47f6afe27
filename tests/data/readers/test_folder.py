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


def settings(root: Path, min_images: int = 2, longest_side: int = 1024) -> FolderSettings:
    return FolderSettings(path=str(root), min_images=min_images, longest_side=longest_side)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(("zoe/2.png", "zoe/10.jpg", "anna lena/a.png", "anna lena/b.png")):
        add_photo(tmp_path / "photos" / name, i)
    return tmp_path / "photos"


def test_images_are_ordered_by_person_and_file_name(root: Path) -> None:
    dataset = read_folder(settings(root))
    assert [(p.identity, p.source) for p in dataset.images] == [
        ("anna lena", "anna lena/a.png"),
        ("anna lena", "anna lena/b.png"),
        ("zoe", "zoe/10.jpg"),
        ("zoe", "zoe/2.png"),
    ]


def test_hidden_files_and_files_outside_the_people_are_ignored(root: Path) -> None:
    (root / ".DS_Store").write_bytes(b"x")
    (root / "zoe" / ".thumbnail.jpg").write_bytes(b"x")
    (root / ".git").mkdir()
    (root / "readme.txt").write_text("about")
    assert len(read_folder(settings(root)).images) == 4


def test_names_are_normalized_to_composed_unicode(root: Path) -> None:
    stored = unicodedata.normalize("NFD", "José")
    for i in (7, 8):
        add_photo(root / stored / f"{i}.png", i)
    assert "José" in {image.identity for image in read_folder(settings(root)).images}


def test_only_large_photos_are_scaled_down(root: Path) -> None:
    add_photo(root / "zoe" / "wide.png", 9, (100, 400))
    images = {p.source: p for p in read_folder(settings(root, longest_side=200)).images}
    assert images["zoe/wide.png"].read().shape == (50, 200, 3)
    assert images["zoe/2.png"].read().shape == (40, 30, 3)


def test_duplicate_photos_are_skipped_and_reported(root: Path) -> None:
    (root / "zoe" / "copy.jpg").write_bytes((root / "zoe" / "10.jpg").read_bytes())
    dataset = read_folder(settings(root))
    assert len(dataset.images) == 4
    assert dataset.skipped == (f"{root}/zoe/copy.jpg: skipped, a duplicate of {root}/zoe/10.jpg",)
    (root / "zoe" / "2.png").unlink()
    with pytest.raises(DataError, match=r"1 person has fewer .*zoe \(1\);"):
        read_folder(settings(root))


def test_same_photo_of_two_people_raises_data_error(root: Path) -> None:
    (root / "anna lena" / "z.jpg").write_bytes((root / "zoe" / "10.jpg").read_bytes())
    with pytest.raises(DataError, match=r"the same photo as .* of another person"):
        read_folder(settings(root))


def test_the_same_file_that_is_no_photo_may_lie_with_two_people(root: Path) -> None:
    for person in ("zoe", "anna lena"):
        (root / person / "desktop.ini").write_text("[.ShellClassInfo]\n")
    assert len(read_folder(settings(root)).images) == 6  # what is no photo is left out with a line when it is read


def test_all_people_with_too_few_photos_are_named_at_once(root: Path) -> None:
    for number in range(12):
        add_photo(root / f"p{number:02d}" / "1.png", 20 + number)
    with pytest.raises(DataError, match=r"12 people have fewer .*p00 \(1\), .*p09 \(1\) and 2 more; add") as caught:
        read_folder(settings(root))
    assert "\n" not in str(caught.value) and "zoe" not in str(caught.value)


def test_missing_or_empty_folder_and_person_without_photos_raise_data_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: no such folder; set prepare\.folder\.path"):
        read_folder(settings(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty; it must hold a directory of photos per person"):
        read_folder(settings(tmp_path / "empty"))
    (root / "bob").mkdir()
    with pytest.raises(DataError, match=r"bob \(0\);"):
        read_folder(settings(root, min_images=1))


def test_person_with_fewer_than_min_images_raises_data_error(root: Path) -> None:
    add_photo(root / "bob" / "1.png", 11)
    with pytest.raises(DataError, match=r"than prepare\.folder\.min_images = 2: .*bob \(1\);"):
        read_folder(settings(root))
    assert len(read_folder(settings(root, min_images=1)).images) == 5


def test_links_outside_the_folder_are_refused(root: Path, tmp_path: Path) -> None:
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


def test_folder_inside_a_persons_folder_raises_data_error(root: Path) -> None:
    add_photo(root / "zoe" / "2019" / "1.png", 14)
    with pytest.raises(DataError, match="a folder inside a person's folder"):
        read_folder(settings(root))
