"""Sets of turned face crops."""

from pathlib import Path

import numpy as np
import pytest

from helpers.domes import dome
from onelook.data.annotate import FaceDetector
from onelook.data.image_io import write_image
from onelook.data.readers.face_crops import FaceRow, read_face_list
from onelook.data.synthesis.turn_sampling import TurnOptions, sample_turns
from onelook.data.synthesis.turned_faces import write_turned_faces
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.geometry.head_pose import head_axes, head_yaw, turn_rotation
from onelook.geometry.mesh import mirror_mesh

IMAGE = np.full((64, 64, 3), 128, np.uint8)
OPTIONS = TurnOptions(count=12, min_yaw=20, max_yaw=80, seed=4)
HEADER = "file,x1,y1,x2,y2," + ",".join(
    f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
)
LINE = "18,18,46,46,26,26,38,26,32,32,27,38,37,38"


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    shape = (dome() + mirror_mesh(dome(), 0.0)) / 2
    return (shape * 14 + (32, 32, 0)).astype(np.float32)


def yaws(face: np.ndarray) -> np.ndarray:
    return np.array(
        [head_yaw(turned.vertices) for turned in sample_turns(IMAGE, face, OPTIONS, np.random.default_rng(0))]
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


def detect_nothing(image: np.ndarray) -> Detections:
    return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)), np.zeros((0, 0)))


def write_set(folder: Path, *files: str) -> Path:
    """Write a set of crops; one whose name has "no_mesh" is darker."""
    (folder / "images").mkdir(parents=True)
    (folder / "faces.csv").write_text("\n".join([HEADER, *(f"{file},{LINE}" for file in files), ""]))
    for file in files:
        write_image(folder / "images" / file, IMAGE // 2 if "no_mesh" in file else IMAGE)
    return folder


def turn(
    source: Path, target: Path, face: np.ndarray, detect: FaceDetector = detect_nothing, count: int = 3
) -> list[FaceRow]:
    """Write a set of turned faces, and return its lines."""
    options = TurnOptions(count, 20, 70, seed=4)
    written = write_turned_faces(
        [source], target, lambda image, *_: face if image.mean() > 100 else None, detect, options
    )
    rows = list(read_face_list(target / "faces.csv"))
    assert len(rows) == written
    return rows


def test_a_set_is_written_in_the_layout_of_extra_faces(tmp_path: Path, face: np.ndarray) -> None:
    source = write_set(tmp_path / "frontal", "a.png", "no_mesh.png")
    rows = turn(source, tmp_path / "one", face)
    assert [row.file for row in rows] == [f"frontal/a.png_{number}.jpg" for number in range(3)]
    assert {row.unturned for row in rows} == {"frontal/a.png"}
    for labeled in (row.face for row in rows):
        assert (labeled.landmarks > labeled.box[:2] - 0.01).all() and (labeled.landmarks < labeled.box[2:] + 0.01).all()
    assert_same_set(tmp_path / "one", tmp_path / "two", len(turn(source, tmp_path / "two", face)))


def assert_same_set(one: Path, other: Path, count: int) -> None:
    """Assert that two sets have the same bytes."""
    files = [path.relative_to(one) for path in one.rglob("*") if path.suffix in (".csv", ".jpg")]
    assert len(files) == count + 1
    assert all((one / file).read_bytes() == (other / file).read_bytes() for file in files)


def test_an_interrupted_run_continues_to_the_same_set(tmp_path: Path, face: np.ndarray) -> None:
    source = write_set(tmp_path / "frontal", "a.png", "b.png", "c.png")
    full = turn(source, tmp_path / "full", face)
    calls = []

    def detect_some(image: np.ndarray) -> Detections:
        calls.append(image)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return detect_nothing(image)

    with pytest.raises(KeyboardInterrupt):
        turn(source, tmp_path / "parts", face, detect_some)
    with (tmp_path / "parts/journal.jsonl").open("a") as journal:
        journal.write('{"unturned": "fron')
    calls.clear()
    turn(source, tmp_path / "parts", face, lambda image: calls.append(image) or detect_nothing(image))
    assert len(calls) == 6  # those of the first crop are not turned again
    assert_same_set(tmp_path / "full", tmp_path / "parts", len(full))


def test_other_options_do_not_continue_a_set(tmp_path: Path, face: np.ndarray) -> None:
    source = write_set(tmp_path / "frontal", "a.png")
    turn(source, tmp_path / "turned", face)
    with pytest.raises(DataError, match="same options") as caught:
        turn(source, tmp_path / "turned", face, count=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["{}", '{"unturned": "frontal/a.png", "faces": [["a.jpg", 1]]}', '{"unturned": "b"}'])
def test_a_damaged_journal_is_refused_in_one_line(tmp_path: Path, face: np.ndarray, line: str) -> None:
    source = write_set(tmp_path / "frontal", "a.png")
    turn(source, tmp_path / "turned", face)
    with (tmp_path / "turned/journal.jsonl").open("a") as journal:
        journal.write(line + "\n")
    with pytest.raises(DataError, match=r"journal\.jsonl: line 3 is damaged; delete the file to begin anew$"):
        turn(source, tmp_path / "turned", face)


@pytest.mark.parametrize(("offset", "is_detected"), [(2, True), (40, False)])
def test_labels_are_the_detectors_where_it_finds_the_turned_face(
    tmp_path: Path, face: np.ndarray, offset: float, is_detected: bool
) -> None:
    def detect(view: np.ndarray) -> Detections:
        # The face of 28 pixels in the middle of the crop, in a view with a border of a fifth on each side.
        scale = len(view) / (64 + 2 * 13)
        box = (np.array([18, 18, 46, 46]) + offset + 13) * scale
        points = (np.array([[20, 20], [30, 20], [25, 25], [21, 30], [29, 30]]) + 13) * scale
        return Detections(box[None], np.ones(1), points[None], np.zeros((1, 0)))

    source = write_set(tmp_path / "frontal", "a.png")
    for row in turn(source, tmp_path / "turned", face, detect):
        assert np.allclose(row.face.landmarks[2], (25, 25), atol=1) == is_detected


def test_turned_faces_are_not_turned_again(tmp_path: Path, face: np.ndarray) -> None:
    turn(write_set(tmp_path / "frontal", "a.png"), tmp_path / "turned", face)
    with pytest.raises(DataError, match="turned already"):
        turn(tmp_path / "turned", tmp_path / "again", face)


def test_a_missing_set_is_refused_in_one_line(tmp_path: Path, face: np.ndarray) -> None:
    with pytest.raises(DataError, match="no such file; name sets of faces"):
        turn(tmp_path / "absent", tmp_path / "turned", face)
