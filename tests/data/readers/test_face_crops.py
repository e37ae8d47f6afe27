from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.held_out import eighth_of
from onelook.data.manifest import read_manifest, write_manifest
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


def write_turned(sets: Path, unturned: str) -> None:
    """Write a set of one turned face; its name is before that of the other set."""
    (sets / "a_turned/images").mkdir(parents=True)
    cv2.imwrite(str(sets / "a_turned/images/0.jpg"), np.full((48, 40, 3), 70, np.uint8))
    (sets / "a_turned/faces.csv").write_text(f"{HEADER},unturned\n0.jpg,{ROW},{unturned}\n")


def test_a_turned_face_names_the_scene_of_the_unturned_one(sets: Path, tmp_path: Path) -> None:
    write_turned(sets, "films/7/a.jpg")
    turned, unturned = write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(sets)))
    assert (turned.face_set, unturned.face_set) == ("a_turned", "films")
    assert turned.unturned == unturned.image and unturned.unturned == ""
    write_manifest(tmp_path / "out", [turned, unturned])
    assert [scene.unturned for scene in read_manifest(tmp_path / "out").scenes] == [unturned.image, ""]


@pytest.mark.parametrize("unturned", ["films/7/b.jpg", "shows/7/a.jpg", "a_turned/0.jpg"])
def test_a_turned_face_without_its_source_is_refused_in_one_line(sets: Path, tmp_path: Path, unturned: str) -> None:
    write_turned(sets, unturned)
    with pytest.raises(DataError, match=f"0.jpg was made of {unturned}, which is not in") as caught:
        list(write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(sets))))
    assert "\n" not in str(caught.value)


def write_eight(sets: Path, *, source: bool) -> list[str]:
    """Write a set of crops, one of each eighth; return the names that decide, in order of the eighths."""
    names = {eighth_of(name): name for name in (f"{number}.jpg" for number in range(200))}
    ordered = [names[eighth] for eighth in range(8)]
    (sets / "eight/images").mkdir(parents=True)
    rows = []
    for number, name in enumerate(ordered):
        file = f"crop_{number}.jpg" if source else name
        cv2.imwrite(str(sets / "eight/images" / file), np.full((48, 40, 3), number, np.uint8))
        rows.append(f"{file},{ROW}" + (f",some/{name}" if source else ""))
    header = f"{HEADER},source" if source else HEADER
    (sets / "eight/faces.csv").write_text("\n".join([header, *rows]) + "\n")
    return ordered


@pytest.mark.parametrize("source", [False, True], ids=["by the crop's name", "by the photo's name"])
def test_held_out_crops_and_faces_turned_from_them_do_not_train(sets: Path, tmp_path: Path, source: bool) -> None:
    ordered = write_eight(sets, source=source)
    files = [f"crop_{number}.jpg" for number in range(8)] if source else ordered
    (sets / "turned/images").mkdir(parents=True)
    for name in ("0.jpg", "1.jpg"):
        cv2.imwrite(str(sets / "turned/images" / name), np.full((48, 40, 3), 70, np.uint8))
    turned = f"0.jpg,{ROW},eight/{files[2]}\n1.jpg,{ROW},eight/{files[3]}\n"
    (sets / "turned/faces.csv").write_text(f"{HEADER},unturned\n{turned}")
    settings = ExtraFacesSettings(path=str(sets), held_out={"eight": 3})
    scenes = list(write_extra_faces(tmp_path / "out", settings))
    assert [scene.source for scene in scenes if scene.face_set == "eight"] == [f"eight, {file}" for file in files[3:]]
    assert [scene.source for scene in scenes if scene.face_set == "turned"] == ["turned, 1.jpg"]
    assert sum(scene.face_set == "films" for scene in scenes) == 1


def test_an_unknown_held_out_set_is_refused_in_one_line(sets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="held_out: no set 'utk'") as caught:
        list(write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(sets), held_out={"utk": 4})))
    assert "\n" not in str(caught.value)


def test_folder_without_sets_raises_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare\.extra_faces\.path"):
        list(write_extra_faces(tmp_path / "out", ExtraFacesSettings(path=str(tmp_path))))
