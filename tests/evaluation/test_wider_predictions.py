from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onelook.errors import DataError, OnelookError
from onelook.evaluation.wider_ground_truth import WiderPhoto
from onelook.evaluation.wider_predictions import read_predictions, write_predictions

PARADE = WiderPhoto("0--Parade", "0_Parade_1", np.zeros((0, 4), np.float32), {})
MEETING = WiderPhoto("1--Handshaking", "1_Handshaking_7", np.zeros((0, 4), np.float32), {})
TEXT = "0_Parade_1.jpg\n2\n10.5 20 30 40 0.75\n1e1 2 3 4 0.5\n"


def write(folder: Path, text: str) -> Path:
    (folder / "0--Parade").mkdir()
    (folder / "0--Parade/0_Parade_1.txt").write_text(text)
    return folder


def test_files_have_the_official_format(tmp_path: Path) -> None:
    boxes = np.array([[10.5, 20, 40.5, 60]], np.float32)
    no_boxes = np.zeros((0, 4), np.float32)
    write_predictions(tmp_path, [PARADE, MEETING], [boxes, no_boxes], [np.array([0.75], np.float32), np.zeros(0)])
    assert (tmp_path / "0--Parade/0_Parade_1.txt").read_text() == "0_Parade_1.jpg\n1\n10.5 20.0 30.0 40.0 0.75\n"
    assert (tmp_path / "1--Handshaking/1_Handshaking_7.txt").read_text() == "1_Handshaking_7.jpg\n0\n"


def test_rows_are_read_as_corners_in_file_order(tmp_path: Path) -> None:
    boxes, scores = read_predictions(write(tmp_path, TEXT), [PARADE])
    assert boxes[0].tolist() == [[10.5, 20, 40.5, 60], [10, 2, 13, 6]] and scores[0].tolist() == [0.75, 0.5]


@pytest.mark.parametrize("name", ["0_Parade_1", "0--Parade/0_Parade_1.jpg", "images/0--Parade/0_Parade_1.jpg "])
def test_the_name_may_have_a_folder_and_a_suffix(tmp_path: Path, name: str) -> None:
    boxes, _ = read_predictions(write(tmp_path, TEXT.replace("0_Parade_1.jpg", name).replace("\n", " \r\n")), [PARADE])
    assert len(boxes[0]) == 2


def test_a_photo_without_a_file_has_no_predictions_unless_all_lack_one(tmp_path: Path) -> None:
    boxes, scores = read_predictions(write(tmp_path, TEXT), [MEETING, PARADE])
    assert boxes[0].shape == (0, 4) and scores[0].shape == (0,) and len(boxes[1]) == 2
    with pytest.raises(DataError, match="no prediction of any of the 1 photos"):
        read_predictions(tmp_path, [MEETING])


coordinates = st.floats(-4096, 4096, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6)
corners = arrays(np.float32, (5, 4), elements=coordinates)


@settings(max_examples=50)
@given(corners, arrays(np.float32, 5, elements=st.floats(0, 1, width=32)))
def test_written_predictions_are_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, boxes: np.ndarray, scores: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("predictions")
    write_predictions(folder, [PARADE], [boxes], [scores])
    read_boxes, read_scores = read_predictions(folder, [PARADE])
    np.testing.assert_array_equal(read_boxes[0].astype(np.float32), boxes)
    np.testing.assert_array_equal(read_scores[0].astype(np.float32), scores)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("", "line 1: not the photo's name"),
        (TEXT.replace("Parade_1", "Parade_11"), "line 1: not the photo's name, 0_Parade_1.jpg"),
        ("0_Parade_1.jpg\n", "line 2: not the number of predictions"),
        (TEXT.replace("\n2\n", "\ntwo\n"), "line 2: not the number of predictions"),
        (TEXT.replace("\n2\n", "\n-2\n"), "line 2: not the number of predictions"),
        (TEXT.replace("\n2\n", "\n3\n"), "line 2: 3 predictions, 2 follow"),
        (TEXT.replace("20 30", "20"), "line 3: not `x y width height score`"),
        (TEXT.replace("0.5\n", "0.5 1\n"), "line 4: not `x y width height score`"),
        (TEXT.replace("0.5\n", "nan\n"), "line 4: not `x y width height score`"),
        (TEXT.replace("1e1", "1e999"), "line 4: not `x y width height score`"),
        (TEXT.replace("20", "ten"), "line 3: not `x y width height score`"),
    ],
)
def test_a_damaged_file_is_a_one_line_error(tmp_path: Path, damaged: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(write(tmp_path, damaged), [PARADE])
    assert "\n" not in str(caught.value) and "0_Parade_1.txt" in str(caught.value) and "again" in str(caught.value)


def test_bytes_that_are_not_utf8_are_an_error(tmp_path: Path) -> None:
    (write(tmp_path, "") / "0--Parade/0_Parade_1.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_predictions(tmp_path, [PARADE])


def test_a_name_that_leads_out_of_the_folder_is_an_error(tmp_path: Path) -> None:
    outside = WiderPhoto("..", "elsewhere", np.zeros((0, 4), np.float32), {})
    with pytest.raises(OnelookError, match="leaves the data folder"):
        write_predictions(tmp_path / "inner", [outside], [np.zeros((0, 4))], [np.zeros(0)])
    with pytest.raises(OnelookError, match="leaves the data folder"):
        read_predictions(tmp_path / "inner", [outside])
