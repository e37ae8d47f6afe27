import json
from pathlib import Path

import numpy as np
import pytest

from onelook.data.detection_scenes import DetectionDataset, write_detection_scenes
from onelook.data.readers.json_annotations import read_json_annotations
from onelook.errors import DataError, OnelookError
from onelook.settings import JsonAnnotationsSettings, SplitFractions

FRACTIONS = SplitFractions(train=0.5, validation=0.25, test=0.25)
LABEL = {
    "size": [60, 40],
    "boxes_xywh": [[10, 5, 20, 30], [35.5, 5, 10, 12]],
    "points": [[[14, 12], [25, 13], [20, 20], [19, 28]], [[37, 8], None, [40, 11], None]],
    "unlabelled_xywh": [[0, 30, 8, 9]],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(8):
        (tmp_path / f"images/{number}.png").touch()  # the reader does not open photos
    write_labels(tmp_path, {f"{number}.png": LABEL for number in range(8)})
    return tmp_path


def write_labels(root: Path, labels: object) -> None:
    (root / "annotations.json").write_text(json.dumps(labels))


def read(root: Path, seed: int = 0) -> DetectionDataset:
    return read_json_annotations(JsonAnnotationsSettings(path=str(root)), FRACTIONS, seed)


def test_boxes_landmarks_and_unlabeled_faces_match_hand_computed_values(root: Path) -> None:
    first = read(root).photos[0]
    assert [face.box.tolist() for face in first.faces] == [[10, 5, 30, 35], [35.5, 5, 45.5, 17]]
    absent = [np.nan, np.nan]
    # The center of the mouth is not one of the five landmarks.
    np.testing.assert_array_equal(first.faces[0].landmarks, [[14, 12], [25, 13], [20, 20], absent, absent])
    np.testing.assert_array_equal(first.faces[1].landmarks, [[37, 8], absent, [40, 11], absent, absent])
    assert first.ignored.tolist() == [[0, 30, 8, 39]] and first.size == (60, 40)
    assert all(face.identity is None for face in first.faces)
    assert read(root).counts["boxes.unlabeled"] == 8


def test_five_points_are_the_five_landmarks(root: Path) -> None:
    points = [[14, 12], [25, 13], None, [15, 28], [24, 27]]
    write_labels(root, {f"{number}.png": {"boxes_xywh": [[10, 5, 20, 30]], "points": [points]} for number in range(8)})
    expected = [[np.nan] * 2 if point is None else point for point in points]
    np.testing.assert_array_equal(read(root).photos[0].faces[0].landmarks, expected)


def test_splits_have_the_set_fractions_and_depend_on_the_seed(root: Path) -> None:
    splits = [photo.split for photo in read(root, 3).photos]
    assert sorted(splits) == ["test"] * 2 + ["train"] * 4 + ["validation"] * 2
    assert splits == [photo.split for photo in read(root, 3).photos]
    assert any(splits != [photo.split for photo in read(root, seed).photos] for seed in range(4, 8))


def test_missing_photo_is_counted_and_leaves_other_splits_unchanged(root: Path) -> None:
    before = {photo.path: photo.split for photo in read(root).photos}
    (root / "images/3.png").unlink()
    dataset = read(root)
    assert dataset.counts["photos.missing"] == 1 and len(dataset.photos) == 7
    assert all(before[photo.path] == photo.split for photo in dataset.photos)


def test_landmarks_and_size_are_optional(root: Path) -> None:
    write_labels(root, {f"{number}.png": {"boxes_xywh": [[1, 2, 3, 4]]} for number in range(8)})
    photo = read(root).photos[0]
    assert np.isnan(photo.faces[0].landmarks).all() and photo.ignored.shape == (0, 4) and photo.size is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes_xywh": [[1, 2, 3]]}, "not boxes and points"),
        ({"boxes_xywh": [[1, 2, 3, 1e30]], "points": [None]}, "a number that is no coordinate"),
        ({"points": [[[1, 2]]]}, "not boxes and points"),
        ({"points": []}, "not boxes and points"),
        ({"size": 5}, "not boxes and points"),
        ({"faces": 1}, "unknown key 'faces', valid keys are boxes_xywh"),
    ],
)
def test_invalid_label_is_reported_with_its_photo(root: Path, change: dict, message: str) -> None:
    write_labels(root, {f"{number}.png": LABEL | (change if number == 5 else {}) for number in range(8)})
    with pytest.raises(DataError, match=rf"annotations\.json: 5\.png: .*{message}") as caught:
        read(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_damaged_file_raises_data_error(root: Path, text: str, message: str) -> None:
    (root / "annotations.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(root)


def test_missing_file_and_missing_photos_raise_data_error(root: Path) -> None:
    with pytest.raises(DataError, match=r"prepare\.json_annotations\.path"):
        read(root / "absent")
    write_labels(root, {f"{number}.png": LABEL for number in range(5)})
    with pytest.raises(DataError, match="5 photos: train, validation and test need at least 2 photos each"):
        read(root)
    write_labels(root, {f"gone{number}.png": LABEL for number in range(8)})
    with pytest.raises(DataError, match="none of the 8 photos"):
        read(root)


def test_paths_outside_the_folder_are_refused(root: Path) -> None:
    write_labels(root, {f"../{number}.png": LABEL for number in range(8)})
    with pytest.raises(OnelookError, match="leaves the data folder"):
        read(root)


@pytest.mark.shared_data
def test_caltech_labels_have_the_published_counts_and_true_sizes(shared_data: Path, tmp_path: Path) -> None:
    dataset = read(shared_data / "scenes")
    assert len(dataset.photos) == 1750 and sum(len(photo.faces) for photo in dataset.photos) == 3870
    _, skipped, _ = write_detection_scenes(tmp_path, DetectionDataset(dataset.photos[::70]))
    assert skipped == ()
    eyes = np.array([face.landmarks[:2, 0] for photo in dataset.photos for face in photo.faces])
    assert (eyes[:, 0] < eyes[:, 1]).all(), "left as seen in the photo"
