from pathlib import Path

import numpy as np
import pytest

from helpers.painted import paint
from onelook.data.image_io import write_image
from onelook.gallery.enrollment import BATCH_SIZE
from onelook.gallery.gallery import Gallery
from onelook.media import photo_identification
from onelook.media.discovery import MediaFile
from onelook.media.photo_identification import MAX_BATCH_BYTES, batch_photos, identify_photos, picture_path


def test_unreadable_photo_gets_a_record_with_an_error(painted_gallery: Gallery, tmp_path: Path) -> None:
    write_image(tmp_path / "anna.png", paint((1, 10, 10)))
    names = ["absent.jpg", "anna.png", "link.jpg", "anna.png"]
    link_error = "link.jpg: a link out of here"
    files = [MediaFile(tmp_path / name, "photo", error=link_error if name == "link.jpg" else None) for name in names]
    photos = identify_photos(painted_gallery, None, files)
    assert [photo.file for photo in photos] == files
    assert [photo.record["error"] for photo in photos] == [
        f"{tmp_path}/absent.jpg: no such photo",
        None,
        link_error,
        None,
    ]
    assert [[face["name"] for face in photo.record["faces"]] for photo in photos] == [[], ["Anna"], [], ["Anna"]]
    assert [photo.record["more"] for photo in photos] == [True, True, True, False], "one transaction"


def test_results_do_not_depend_on_batch_bytes(
    painted_gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5):
        write_image(tmp_path / f"{i}.png", paint((1 + i % 4, 10, 10)))
    files = [MediaFile(tmp_path / f"{i}.png", "photo") for i in range(5)]
    one_batch = identify_photos(painted_gallery, None, files)
    monkeypatch.setattr(photo_identification, "MAX_BATCH_BYTES", 2 * paint().nbytes)
    three_batches = identify_photos(painted_gallery, None, files)
    assert [photo.record for photo in three_batches] == [photo.record for photo in one_batch]
    assert [photo.embeddings[0] is None for photo in three_batches] == [True, True, False, False, True]
    for first, second in zip(one_batch, three_batches, strict=True):
        np.testing.assert_array_equal(first.embeddings, second.embeddings)


def test_batch_is_full_by_count_or_bytes() -> None:
    def batch_sizes(*images: np.ndarray) -> list[int]:
        return [
            len(batch)
            for batch in batch_photos([(MediaFile(Path("a"), "photo"), image) for image in images], BATCH_SIZE)
        ]

    small, large = np.zeros((2, 2, 3), np.uint8), np.zeros((MAX_BATCH_BYTES // 30 + 1, 10, 3), np.uint8)
    assert batch_sizes(*[small] * (2 * BATCH_SIZE + 3)) == [BATCH_SIZE, BATCH_SIZE, 3]
    assert batch_sizes(large, large, small, large) == [1, 1, 2]
    assert batch_sizes() == []


def test_picture_paths_of_photos_with_one_name_differ(tmp_path: Path) -> None:
    paths = {picture_path(tmp_path, MediaFile(Path(f"{year}/trip/a.jpg"), "photo"), ".jpg") for year in (2019, 2020)}
    assert len(paths) == 2 and all(path.parent == tmp_path / "trip" for path in paths)
