from pathlib import Path

import numpy as np
import pytest

from onelook.data.detection_scenes import DetectionDataset, DetectionImage
from onelook.data.readers.wider import read_wider
from onelook.errors import DataError
from onelook.settings import SplitFractions, WiderSettings

FRACTIONS = SplitFractions(train=0.6, validation=0.1, test=0.3)
TRAIN = """0--Parade/a.jpg
2
10 20 30 40 0 0 0 0 0 0
5 6 7 8 2 0 0 1 2 0
0--Parade/no_face.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Riot/b.jpg
1
1 2 3 4 0 0 0 0 0 0
"""
POINTS = """# 0--Parade/a.jpg
10 20 30 40 15.5 30 0.0 30 30.5 0.0 22 40 1.0 16 50 0.0 29 50 0.0 0.82
5 6 7 8 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 0.4
# 1--Riot/b.jpg
9 9 9 9 1 1 0 2 1 0 1 2 0 1 3 0 2 3 0
1 2 3 4 1 2 0 3 2 0 -1 -1 -1 1 5 0 3 5 0
"""


def make(root: Path, part: str, text: str) -> Path:
    """Write the labels of a part and an empty file for every photo."""
    path = root / f"wider_face_split/wider_face_{part}_bbx_gt.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for line in text.splitlines():
        if line.endswith(".jpg"):
            photo = root / f"WIDER_{part}/images/{line}"
            photo.parent.mkdir(parents=True, exist_ok=True)
            photo.touch()  # the reader does not open photos
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make(tmp_path, "train", TRAIN)
    held = "".join(f"{number}--Event/{number}.jpg\n1\n1 1 9 9 0 0 0 0 0 0\n" for number in range(40))
    make(tmp_path, "val", held)
    (tmp_path / "retinaface/train").mkdir(parents=True)
    (tmp_path / "retinaface/train/label.txt").write_text(POINTS)
    return tmp_path


def read(root: Path, seed: int = 0) -> DetectionDataset:
    return read_wider(WiderSettings(path=str(root)), FRACTIONS, seed)


def by_name(dataset: DetectionDataset) -> dict[str, DetectionImage]:
    return {f"{photo.path.parent.name}/{photo.path.name}": photo for photo in dataset.photos}


def test_boxes_match_hand_computed_values(root: Path) -> None:
    photos = by_name(read(root))
    first = photos["0--Parade/a.jpg"]
    assert [face.box.tolist() for face in first.faces] == [[10, 20, 40, 60]]
    assert first.ignored.tolist() == [[5, 6, 12, 14]]
    assert photos["0--Parade/no_face.jpg"].faces == ()
    assert [face.box.tolist() for face in photos["1--Riot/b.jpg"].faces] == [[1, 2, 4, 6]]
    assert read(root).counts == {"boxes.invalid": 1, "photos.missing": 0, "points.unmatched": 1}


def test_landmarks_are_matched_by_box(root: Path) -> None:
    photos = by_name(read(root))
    expected = [[15.5, 30], [30, 30.5], [22, 40], [16, 50], [29, 50]]
    np.testing.assert_array_equal(photos["0--Parade/a.jpg"].faces[0].landmarks, expected)
    part = [[1, 2], [3, 2], [np.nan, np.nan], [1, 5], [3, 5]]
    np.testing.assert_array_equal(photos["1--Riot/b.jpg"].faces[0].landmarks, part)
    assert np.isnan(photos["3--Event/3.jpg"].faces[0].landmarks).all()


def test_landmarks_file_is_optional(root: Path) -> None:
    (root / "retinaface/train/label.txt").unlink()
    assert all(np.isnan(face.landmarks).all() for photo in read(root).photos for face in photo.faces)


def test_official_validation_photos_are_split_by_the_seed(root: Path) -> None:
    dataset = read(root, 5)
    splits = {name: photo.split for name, photo in by_name(dataset).items()}
    assert [name for name, split in splits.items() if split == "train"] == [
        "0--Parade/a.jpg",
        "0--Parade/no_face.jpg",
        "1--Riot/b.jpg",
    ]
    counted = list(splits.values())
    assert (counted.count("validation"), counted.count("test")) == (10, 30)  # a quarter: 0.1 of 0.1 + 0.3
    assert splits == {name: photo.split for name, photo in by_name(read(root, 5)).items()}
    assert splits != {name: photo.split for name, photo in by_name(read(root, 6)).items()}


def test_validation_photos_are_the_test_split_without_training_photos(root: Path) -> None:
    (root / "wider_face_split/wider_face_train_bbx_gt.txt").unlink()
    dataset = read(root)
    assert [photo.split for photo in dataset.photos] == ["test"] * 40
    assert dataset.counts["points.unmatched"] == 0


def test_missing_photos_are_counted(root: Path) -> None:
    (root / "WIDER_train/images/1--Riot/b.jpg").unlink()
    dataset = read(root)
    assert dataset.counts["photos.missing"] == 1 and "1--Riot/b.jpg" not in by_name(dataset)


def test_labels_without_attributes_have_no_ignored_box(root: Path) -> None:
    make(root, "val", "0--Parade/c.jpg\n2\n1 2 3 4\n5 6 7 8\n0--Parade/d.jpg\n0\n0--Parade/e.jpg\n1\n1 1 1 1\n")
    photos = by_name(read(root))
    assert [len(photos[f"0--Parade/{name}.jpg"].faces) for name in "cde"] == [2, 0, 1]
    assert photos["0--Parade/c.jpg"].ignored.shape == (0, 4)


@pytest.mark.parametrize(
    "text",
    [
        "a/b.jpg\n",
        "a/b.jpg\ntwo\n1 2 3 4\n",
        "a/b.jpg\n2\n1 2 3 4\n",
        "a/b.jpg\n1\n1 2 3\n",
        "a/b.jpg\n1\n1 2 3 nan\n",
        "a/b.jpg\n2\n1 2 3 4\n1 2 3 4 0 0 0 0 0 0\n",
        "a/b.jpg\n-1\n1 2 3 4\n",
    ],
)
def test_damaged_labels_are_reported_with_their_line(root: Path, text: str) -> None:
    make(root, "val", "x/first.jpg\n1\n1 1 1 1\n" + text)
    with pytest.raises(DataError, match=r"wider_face_val_bbx_gt\.txt, line 4: a/b\.jpg: not a photo") as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_damaged_landmarks_are_reported_with_their_line(root: Path) -> None:
    (root / "retinaface/train/label.txt").write_text("# 0--Parade/a.jpg\n10 20 30 40 1 2\n")
    with pytest.raises(DataError, match=r"label\.txt, line 2: not a box and five points"):
        read(root)


def test_missing_labels_and_missing_photos_raise_data_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wider_face_val_bbx_gt\.txt: cannot be read; prepare\.wider\.path"):
        read(root / "absent")
    make(tmp_path / "bare", "val", "a/b.jpg\n1\n1 2 3 4\n")
    (tmp_path / "bare/WIDER_val/images/a/b.jpg").unlink()
    with pytest.raises(DataError, match="none of the labeled photos exists"):
        read(tmp_path / "bare")


@pytest.mark.shared_data
def test_real_boxes_equal_the_official_ground_truth(shared_data: Path) -> None:
    from onelook.evaluation.wider_ground_truth import read_wider_ground_truth

    truth = {
        f"{photo.event}/{photo.name}.jpg": photo.boxes
        for photo in read_wider_ground_truth(shared_data / "widerface/ground_truth")
    }
    photos = by_name(read(shared_data / "widerface"))
    assert len(photos) == 103
    for name, photo in photos.items():
        np.testing.assert_array_equal([face.box for face in photo.faces], truth[name], err_msg=name)
