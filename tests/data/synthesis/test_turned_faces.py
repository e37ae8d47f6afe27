"""Sets of turned face crops."""

from pathlib import Path

import numpy as np
import pytest

from helpers.domes import dome
from onelook.data.image_io import write_image
from onelook.data.readers.face_crops import read_face_list
from onelook.data.synthesis.turned_faces import sample_turns, write_turned_faces
from onelook.geometry.head_pose import head_axes, head_yaw, turn_rotation
from onelook.geometry.mesh import mirror_mesh

IMAGE = np.full((64, 64, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    shape = (dome() + mirror_mesh(dome(), 0.0)) / 2
    return (shape * 14 + (32, 32, 0)).astype(np.float32)


def yaws(face: np.ndarray, count: int = 12) -> np.ndarray:
    return np.array(
        [head_yaw(turned.vertices) for turned in sample_turns(IMAGE, face, count, np.random.default_rng(0))]
    )


def turned_by(face: np.ndarray, yaw: float) -> np.ndarray:
    center = face.mean(0)
    return (face - center) @ turn_rotation(head_axes(face), yaw, 0).T + center


def test_a_frontal_face_turns_to_both_sides(face: np.ndarray) -> None:
    absolute = np.abs(yaws(face))
    assert (yaws(face) < 0).any() and (yaws(face) > 0).any()
    # The nod before the turn changes the yaw by little.
    assert absolute.min() > 19 and absolute.max() < 81 and np.ptp(absolute) > 30


@pytest.mark.parametrize("yaw", [-40.0, 40.0])
def test_a_turned_face_turns_further_to_its_side(face: np.ndarray, yaw: float) -> None:
    assert (yaws(turned_by(face, yaw)) * np.sign(yaw) > 35).all()


def test_a_profile_is_not_turned(face: np.ndarray) -> None:
    assert len(yaws(turned_by(face, 85))) == 0


def test_a_set_is_written_in_the_layout_of_extra_faces(tmp_path: Path, face: np.ndarray) -> None:
    source = tmp_path / "frontal"
    columns = "file,x1,y1,x2,y2," + ",".join(
        f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
    )
    line = ",18,18,46,46,26,26,38,26,32,32,27,38,37,38"
    (source / "images").mkdir(parents=True)
    (source / "faces.csv").write_text(f"{columns}\na.png{line}\nno_mesh.png{line}\n", encoding="utf-8")
    write_image(source / "images" / "a.png", IMAGE)
    write_image(source / "images" / "no_mesh.png", IMAGE // 2)
    for name in ("one", "two"):
        count = write_turned_faces(
            source, tmp_path / name, lambda image, box, points: face if image.mean() > 100 else None, 3, seed=4
        )
        assert count == 3
    files = [file for file, _ in read_face_list(tmp_path / "one" / "faces.csv")]
    assert files == ["000000.jpg", "000001.jpg", "000002.jpg"]
    for _, labeled in read_face_list(tmp_path / "one" / "faces.csv"):
        assert (labeled.landmarks > labeled.box[:2] - 0.01).all() and (labeled.landmarks < labeled.box[2:] + 0.01).all()
    lines = (tmp_path / "one" / "faces.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith(",unturned") and all(each.endswith(",a.png") for each in lines[1:])
    for file in [tmp_path / "one" / "faces.csv", *(tmp_path / "one" / "images").iterdir()]:
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()
