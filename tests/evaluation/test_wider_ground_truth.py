"""Reading the four official files, whole and damaged."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from helpers.wider_twin import SETTINGS, Labels, write_truth
from onelook.errors import DataError
from onelook.evaluation.wider_ground_truth import read_wider_truth

LABELS: Labels = {
    ("0--Parade", "0_Parade_1"): (
        np.array([[3, 4, 10, 20], [30, 40, 5, 0]]),
        {"easy": [], "medium": [2], "hard": [2, 1]},
    ),
    ("0--Parade", "0_Parade_2"): (np.zeros((0, 4)), {setting: [] for setting in SETTINGS}),
    ("1--Handshaking", "1_Handshaking_1"): (np.array([[0, 0, 7, 8]]), {setting: [1] for setting in SETTINGS}),
}


def test_boxes_become_corners_and_numbers_say_which_are_wanted(tmp_path: Path) -> None:
    write_truth(tmp_path, LABELS)
    photos = read_wider_truth(tmp_path)
    assert [(photo.event, photo.name) for photo in photos] == list(LABELS)
    assert photos[0].boxes.dtype == np.float32
    assert photos[0].boxes.tolist() == [[3, 4, 13, 24], [30, 40, 35, 40]]
    assert {s: w.tolist() for s, w in photos[0].wanted.items()} == {
        "easy": [False, False],
        "medium": [False, True],
        "hard": [True, True],
    }
    assert photos[1].boxes.shape == (0, 4) and photos[1].wanted["hard"].shape == (0,)
    assert photos[2].wanted["easy"].tolist() == [True]


def change(path: Path, **variables: np.ndarray | None) -> None:
    """Write a file anew with variables changed, or left out where None."""
    content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")} | variables
    savemat(path, {name: value for name, value in content.items() if value is not None})


def first(path: Path, variable: str, value: np.ndarray) -> np.ndarray:
    """The variable with another value for the first photo."""
    cells = loadmat(path)[variable]
    cells[0, 0][0, 0] = value
    return cells


@pytest.mark.parametrize(
    ("file", "damage", "wanted"),
    [
        ("wider_face_val.mat", Path.unlink, "no such file; unpack the ground_truth folder"),
        ("wider_easy_val.mat", lambda p: p.write_bytes(p.read_bytes()[:300]), "wider_easy_val.mat: not a MATLAB file"),
        ("wider_easy_val.mat", lambda p: p.write_text("oops"), "not a MATLAB file, or a damaged one"),
        ("wider_easy_val.mat", lambda p: p.write_bytes(b""), "not a MATLAB file, or a damaged one"),
        ("wider_hard_val.mat", lambda p: change(p, gt_list=None), "wider_hard_val.mat: not laid out as"),
        ("wider_hard_val.mat", lambda p: change(p, gt_list=np.zeros((9, 1), object)), "not laid out as"),
        ("wider_hard_val.mat", lambda p: change(p, file_list=np.zeros((2, 1))), "not laid out as"),
        (
            "wider_hard_val.mat",
            lambda p: change(p, gt_list=first(p, "gt_list", np.array([[3]]))),
            "Parade_1 has 2 boxes",
        ),
        (
            "wider_hard_val.mat",
            lambda p: change(p, gt_list=first(p, "gt_list", np.array([[0]]))),
            "Parade_1 has 2 boxes",
        ),
        ("wider_hard_val.mat", lambda p: change(p, gt_list=first(p, "gt_list", np.array(["x"]))), "another is listed"),
        (
            "wider_face_val.mat",
            lambda p: change(p, face_bbx_list=first(p, "face_bbx_list", np.ones((1, 3)))),
            "boxes of 0--Parade/0_Parade_1 are no rows of four",
        ),
        (
            "wider_medium_val.mat",
            lambda p: change(p, file_list=first(p, "file_list", np.array(["another"]))),
            "wider_medium_val.mat: lists other photos",
        ),
    ],
)
def test_a_damaged_file_is_told_in_one_line(tmp_path: Path, file: str, damage, wanted: str) -> None:
    write_truth(tmp_path, LABELS)
    damage(tmp_path / file)
    with pytest.raises(DataError, match=wanted) as caught:
        read_wider_truth(tmp_path)
    assert "\n" not in str(caught.value) and file in str(caught.value)


@pytest.mark.shared_data
def test_the_official_files_hold_the_published_counts(shared_data: Path) -> None:
    photos = read_wider_truth(shared_data / "widerface/ground_truth")
    assert len(photos) == 3226 and sum(len(photo.boxes) for photo in photos) == 39708
    counts = [sum(int(photo.wanted[setting].sum()) for photo in photos) for setting in ("easy", "medium", "hard")]
    assert counts == [7211, 13319, 31958]
