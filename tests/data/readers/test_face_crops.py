from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.readers.face_crops import write_extra_faces
from onelook.errors import DataError, OnelookError
from onelook.settings import ExtraFacesSettings

HEADER = (
    "file,x1,y1,x2,y2,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y,"
    "left_mouth_x,left_mouth_y,right_mouth_x,right_mouth_y"
)
ROW = "1,2,30,40,10,15,20,15,15,20,11,30,19,30"


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    root = tmp_path / "faces"
    (root / "films/images/7").mkdir(parents=True)
    cv2.imwrite(str(root / "films/images/7/a.jpg"), np.full((48, 40, 3), 90, np.uint8))
    (root / "films/faces.csv").write_text(f"{HEADER}\n7/a.jpg,{ROW}\n")
    return root


def test_crop_is_copied_byte_for_byte_and_has_no_identity(sets: Path, tmp_path: Path) -> None:
    (scene,) = write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(sets)))
    assert (scene.width, scene.height, scene.split, scene.role) == (40, 48, "train", "crop")
    assert (tmp_path / "out" / scene.image).read_bytes() == (sets / "films/images/7/a.jpg").read_bytes()
    (face,) = scene.faces
    assert face.identity is None and face.box.tolist() == [1, 2, 30, 40]
    assert face.landmarks.tolist() == [[10, 15], [20, 15], [15, 20], [11, 30], [19, 30]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"7/b.jpg,{ROW}", "b.jpg: missing or damaged"),
        (f"../../../secret.jpg,{ROW}", "leaves the data folder"),
        ("7/a.jpg,1,2", "a line is damaged"),
    ],
)
def test_invalid_line_raises_data_error(sets: Path, tmp_path: Path, line: str, message: str) -> None:
    (sets / "films/faces.csv").write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(OnelookError, match=message) as caught:
        list(write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(sets))))
    assert "\n" not in str(caught.value)


def test_folder_without_sets_raises_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare\.extra_faces\.path"):
        list(write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(tmp_path))))
