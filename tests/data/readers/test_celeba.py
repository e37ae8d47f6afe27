from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onelook.data.image_io import write_image
from onelook.data.readers.celeba import read_celeba
from onelook.data.readers.identity_images import IdentityDataset
from onelook.errors import DataError, OnelookError
from onelook.settings import CelebaImages, CelebaSettings

POINTS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
LABELS = {
    "identity_CelebA.txt": "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n",
    "list_bbox_celeba.txt": (
        "3\nimage_id x_1 y_1 width height\n"
        "000001.jpg    95  71 226 313\n000002.jpg    72  94 221 306\n000003.jpg     0   0   0   0\n"
    ),
    "list_landmarks_celeba.txt": (
        f"3\n{POINTS} \n"
        "000001.jpg 165  184  244  176  196  249  194  271  266  260\n"
        "000002.jpg 140  204  0  0  168  254  -1  -1  226  -3\n"
        "000003.jpg 0 0 0 0 0 0 0 0 0 0\n"
    ),
    "list_landmarks_align_celeba.txt": (
        f"3\n{POINTS}\n"
        "000001.jpg  69 109  106 113   77 142   73 152  108 154\n"
        "000002.jpg  69 110  107 112   81 135   70 151  108 153\n"
        "000003.jpg  76 112  104 106  108 128   74 156   98 158\n"
    ),
    "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n000003.jpg 0\n",
}
NO_BOX = [np.nan] * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in LABELS.items():
        (tmp_path / name).write_text(text)
    for images in ("img_celeba", "img_align_celeba"):
        (tmp_path / images).mkdir()
        for number in (1, 2, 3):
            (tmp_path / images / f"00000{number}.jpg").write_bytes(b"")
    return tmp_path


def read(root: Path, images: CelebaImages = "img_celeba") -> IdentityDataset:
    return read_celeba(CelebaSettings(path=str(root), images=images))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_images_have_identity_box_landmarks_and_split(root: Path) -> None:
    dataset = read(root)
    assert dataset.skipped == ()
    assert dataset.official_splits == {"celeba-2880": "train", "celeba-2937": "validation"}
    assert [(p.path, p.identity) for p in dataset.images] == [
        (root / "img_celeba" / "000001.jpg", "celeba-2880"),
        (root / "img_celeba" / "000002.jpg", "celeba-2937"),
        (root / "img_celeba" / "000003.jpg", "celeba-2880"),
    ]
    face = dataset.images[0].label
    assert face is not None
    assert face.identity == "celeba-2880"
    assert face.box.dtype == face.landmarks.dtype == np.float32
    assert face.box.tolist() == [95, 71, 95 + 226, 71 + 313]
    assert face.landmarks.tolist() == [[165, 184], [244, 176], [196, 249], [194, 271], [266, 260]]
    assert face.landmarks[0, 0] < face.landmarks[1, 0]  # left as seen in the image


def test_missing_points_are_nan_and_points_outside_the_image_are_kept(root: Path) -> None:
    face = read(root).images[1].label
    assert face is not None
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(face.landmarks, [[140, 204], nan, [168, 254], nan, [226, -3]])
    assert face.box.tolist() == [72, 94, 293, 400]


def test_image_without_box_and_landmarks_has_no_label(root: Path) -> None:
    assert read(root).images[2].label is None
    replace(root / "list_landmarks_celeba.txt", "000003.jpg 0 0", "000003.jpg 10 20")
    face = read(root).images[2].label
    assert face is not None
    np.testing.assert_array_equal(face.box, NO_BOX)
    assert face.landmarks[0].tolist() == [10, 20] and np.isnan(face.landmarks[1:]).all()


def test_image_without_a_box_row_has_landmarks_only(root: Path) -> None:
    replace(root / "list_bbox_celeba.txt", "000001.jpg    95  71 226 313\n", "")
    replace(root / "list_bbox_celeba.txt", "3\n", "2\n")
    face = read(root).images[0].label
    assert face is not None
    np.testing.assert_array_equal(face.box, NO_BOX)
    assert np.isfinite(face.landmarks).all()


def test_aligned_images_have_their_own_landmarks_and_no_boxes(root: Path) -> None:
    (root / "list_bbox_celeba.txt").unlink()
    (root / "list_landmarks_celeba.txt").unlink()
    first = read(root, "img_align_celeba").images[0]
    assert first.path == root / "img_align_celeba" / "000001.jpg"
    assert first.source == "CelebA, img_align_celeba/000001.jpg"
    assert first.label is not None
    np.testing.assert_array_equal(first.label.box, NO_BOX)
    assert first.label.landmarks[4].tolist() == [108, 154]


def test_folder_layout_of_the_archive_is_read(root: Path) -> None:
    for folder in ("Anno", "Eval", "Img"):
        (root / folder).mkdir()
    for name in LABELS:
        (root / name).rename(root / ("Eval" if "partition" in name else "Anno") / name)
    (root / "img_celeba").rename(root / "Img" / "img_celeba")
    write_image(root / "Img" / "img_celeba" / "000001.jpg", np.full((20, 30, 3), 80, np.uint8))
    dataset = read(root)
    assert dataset.official_splits is not None and dataset.images[0].read().shape == (20, 30, 3)


def test_partition_is_optional_and_missing_photos_are_skipped(root: Path) -> None:
    (root / "list_eval_partition.txt").unlink()
    (root / "img_celeba" / "000002.jpg").unlink()
    dataset = read(root)
    assert dataset.official_splits is None and len(dataset.images) == 2
    assert dataset.skipped == (f"{root}/img_celeba/000002.jpg: skipped, no such photo",)
    for photo in (root / "img_celeba").iterdir():
        photo.unlink()
    with pytest.raises(DataError, match="none of the 3 photos"):
        read(root)


@pytest.mark.parametrize("name", [*(n for n in LABELS if "partition" not in n)])
def test_missing_label_file_raises_data_error(root: Path, name: str) -> None:
    (root / name).unlink()
    images: CelebaImages = "img_align_celeba" if "align" in name else "img_celeba"
    with pytest.raises(DataError, match=f"{name}: no such label file; download"):
        read(root, images)


def test_missing_folders_raise_data_error(root: Path) -> None:
    with pytest.raises(DataError, match="absent: no such folder"):
        read(root / "absent")
    (root / "img_celeba").rename(root / "elsewhere")
    with pytest.raises(DataError, match="it has no folder img_celeba"):
        read(root)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("list_bbox_celeba.txt", "3\n", "4\n", "3 rows, but 4 according to line 1"),
        ("list_bbox_celeba.txt", "3\n", "", "line 1: not the number of rows"),
        ("list_bbox_celeba.txt", "x_1 y_1 width height", "x_1 y_1 x_2 y_2", "line 2: the columns are not x_1 y_1"),
        ("list_bbox_celeba.txt", "226 313", "226", "line 3: not a name and 4 numbers"),
        ("list_bbox_celeba.txt", "226 313", "226 nan", "line 3: not a name and 4 numbers"),
        ("list_bbox_celeba.txt", "226 313", "226 1e99", "line 3: not a name and 4 numbers"),
        ("list_landmarks_celeba.txt", "165", "x", "line 3: not a name and 10 numbers"),
        ("list_landmarks_celeba.txt", "000002.jpg", "000001.jpg", "line 4: 000001.jpg occurs twice"),
        ("identity_CelebA.txt", "2880", "28.8", "000001.jpg has 28.8, not an integer"),
        ("identity_CelebA.txt", " 2880", "", "line 1: not a name and 1 number;"),
        ("list_eval_partition.txt", "000003.jpg 0", "000003.jpg 3", "is in partition 3, not 0, 1 or 2"),
        (
            "list_eval_partition.txt",
            "000003.jpg 0",
            "000003.jpg 2",
            "000003.jpg is in test, unlike other photos of its identity",
        ),
        ("list_eval_partition.txt", "000003.jpg 0\n", "", "000003.jpg is missing"),
    ],
)
def test_damaged_line_is_reported_with_its_number(root: Path, name: str, old: str, new: str, message: str) -> None:
    replace(root / name, old, new)
    with pytest.raises(DataError, match=message) as caught:
        read(root)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "a\0b.jpg", "x" * 5000])
def test_names_outside_the_folder_are_refused(root: Path, name: str) -> None:
    replace(root / "identity_CelebA.txt", "000001.jpg", name)
    with pytest.raises(OnelookError, match=r"leaves the data folder|is not the name of a photo"):
        read(root)


def test_links_outside_the_folder_are_refused(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.jpg"
    secret.write_bytes(b"")
    photo = root / "img_celeba" / "000001.jpg"
    photo.unlink()
    photo.symlink_to(secret)
    with pytest.raises(OnelookError, match="leaves the data folder"):
        read(root)
    photo.unlink()
    photo.symlink_to(photo)
    with pytest.raises(DataError, match="is not the name of a photo"):
        read(root)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(LABELS)), start=st.integers(0, 200), junk=st.binary(max_size=12))
def test_any_damage_is_read_or_reported_on_one_line(root: Path, name: str, start: int, junk: bytes) -> None:
    text = LABELS[name].encode()
    (root / name).write_bytes(text[:start] + junk + text[start + len(junk) :])
    try:
        read(root)
    except OnelookError as error:
        assert "\n" not in str(error)
    finally:
        (root / name).write_text(LABELS[name])
