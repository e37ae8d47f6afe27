from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from helpers.wider_reference import SETTINGS, Labels, write_ground_truth
from onelook.errors import DataError
from onelook.evaluation.wider_ground_truth import read_wider_ground_truth

LABELS: Labels = {
    ("0--Parade", "0_Parade_1"): (
        np.array([[3, 4, 10, 20], [30, 40, 5, 0]]),
        {"easy": [], "medium": [2], "hard": [2, 1]},
    ),
    ("0--Parade", "0_Parade_2"): (np.zeros((0, 4)), {setting: [] for setting in SETTINGS}),
    ("1--Handshaking", "1_Handshaking_1"): (np.array([[0, 0, 7, 8]]), {setting: [1] for setting in SETTINGS}),
}


def test_boxes_are_read_as_corners_and_numbers_as_masks(tmp_path: Path) -> None:
    write_ground_truth(tmp_path, LABELS)
    photos = read_wider_ground_truth(tmp_path)
    assert [(photo.event, photo.name) for photo in photos] == list(LABELS)
    assert photos[0].boxes.dtype == np.float32
    assert photos[0].boxes.tolist() == [[3, 4, 13, 24], [30, 40, 35, 40]]
    assert {setting: mask.tolist() for setting, mask in photos[0].required.items()} == {
        "easy": [False, False],
        "medium": [False, True],
        "hard": [True, True],
    }
    assert photos[1].boxes.shape == (0, 4) and photos[1].required["hard"].shape == (0,)
    assert photos[2].required["easy"].tolist() == [True]


def change_file(path: Path, **variables: np.ndarray | None) -> None:
    """Rewrite a file with variables changed, or left out where None."""
    content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")} | variables
    savemat(path, {name: value for name, value in content.items() if value is not None})


def replace_first(path: Path, variable: str, value: np.ndarray) -> np.ndarray:
    """Return the variable with another value for the first photo."""
    cells = loadmat(path)[variable]
    cells[0, 0][0, 0] = value
    return cells


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("wider_face_val.mat", Path.unlink, "no such file; unpack the ground_truth folder"),
        ("wider_easy_val.mat", lambda p: p.write_bytes(p.read_bytes()[:300]), "wider_easy_val.mat: not a MATLAB file"),
        ("wider_easy_val.mat", lambda p: p.write_text("oops"), "not a MATLAB file, or a damaged one"),
        ("wider_easy_val.mat", lambda p: p.write_bytes(b""), "not a MATLAB file, or a damaged one"),
        (
            "wider_hard_val.mat",
            lambda p: change_file(p, gt_list=None),
            "wider_hard_val.mat: does not have the layout",
        ),
        (
            "wider_hard_val.mat",
            lambda p: change_file(p, gt_list=np.zeros((9, 1), object)),
            "does not have the layout",
        ),
        ("wider_hard_val.mat", lambda p: change_file(p, file_list=np.zeros((2, 1))), "does not have the layout"),
        (
            "wider_hard_val.mat",
            lambda p: change_file(p, gt_list=replace_first(p, "gt_list", np.array([[3]]))),
            "Parade_1 has 2 boxes",
        ),
        (
            "wider_hard_val.mat",
            lambda p: change_file(p, gt_list=replace_first(p, "gt_list", np.array([[0]]))),
            "Parade_1 has 2 boxes",
        ),
        (
            "wider_hard_val.mat",
            lambda p: change_file(p, gt_list=replace_first(p, "gt_list", np.array(["x"]))),
            "another number",
        ),
        (
            "wider_face_val.mat",
            lambda p: change_file(p, face_bbx_list=replace_first(p, "face_bbx_list", np.ones((1, 3)))),
            "boxes of 0--Parade/0_Parade_1 are not rows of four",
        ),
        (
            "wider_medium_val.mat",
            lambda p: change_file(p, file_list=replace_first(p, "file_list", np.array(["another"]))),
            "wider_medium_val.mat: lists other photos",
        ),
    ],
)
def test_a_damaged_file_is_a_one_line_error(tmp_path: Path, file: str, damage, message: str) -> None:
    write_ground_truth(tmp_path, LABELS)
    damage(tmp_path / file)
    with pytest.raises(DataError, match=message) as caught:
        read_wider_ground_truth(tmp_path)
    assert "\n" not in str(caught.value) and file in str(caught.value)


@pytest.mark.shared_data
def test_the_official_files_have_the_published_counts(shared_data: Path) -> None:
    photos = read_wider_ground_truth(shared_data / "widerface/ground_truth")
    assert len(photos) == 3226 and sum(len(photo.boxes) for photo in photos) == 39708
    counts = [sum(int(photo.required[setting].sum()) for photo in photos) for setting in ("easy", "medium", "hard")]
    assert counts == [7211, 13319, 31958]
