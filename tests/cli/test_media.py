"""From photos of unknown people to an enrolled gallery, with the released weights."""

from pathlib import Path

import cv2
import numpy as np

from helpers.command_line import Run, orl_image
from onelook.data.image_io import read_image, write_image
from onelook.media.results_table import COLUMNS


def test_unknown_faces_are_grouped_named_and_enrolled(run_released: Run) -> None:
    """Ada is enrolled, Ben (five photos) and Cem (three) are not; each photo shows two of them side by side.

    One photo has a name of 250 bytes, near the 255 that a file system allows.
    """
    write_image(Path("ada.png"), orl_image(2, 10))
    assert run_released("enroll", "Ada", "ada.png")[0] == 0
    for number in range(1, 6):
        image = np.concatenate([orl_image(5, number), orl_image(2 if number > 3 else 8, number)], axis=1)
        write_image(Path(f"in/{'山' * 82 if number == 1 else number}.png"), image)
    Path("in/broken.jpg").write_bytes(b"broken")
    code, out, err = run_released("identify-all", "in", "--out", "found", "--pictures")
    assert code == 1
    assert out == "found: 6 photos, 0 videos; 2 named, 0 not sure, 8 unknown (a track of a video is one); 1 left out\n"
    assert err == (
        "warning: left out: in/broken.jpg: not a photo, or a damaged one; use JPEG, PNG, HEIC, AVIF, WebP, "
        "TIFF, BMP, GIF or PGM\n"
    )
    table = Path("found/faces.csv").read_text().splitlines()
    assert table[0] == ",".join(COLUMNS) and len(table) == 1 + 10 + 1
    assert len(list(Path("found/pictures/in").iterdir())) == 5
    assert run_released("group", "found")[:2] == (
        0,
        "found: 2 groups of 8 faces; 0 in groups of fewer than 2, 0 too unclear, small or blurred\n",
    )
    assert [len(list(Path("found/groups", name).iterdir())) for name in ("001", "002")] == [5, 3]
    assert read_image(Path("found/groups.png")).shape[0] > 2 * 90
    assert len(Path("found/groups.csv").read_text().splitlines()) == 1 + 8
    code, _, err = run_released("group", "found")
    assert code == 1 and err.startswith("error: found/groups: is there already")
    # The user names a group by moving it to a folder with the person's name.
    Path("people").mkdir()
    Path("found/groups/001").rename("people/Ben")
    code, out, err = run_released("enroll-all", "people")
    assert (code, out, err) == (0, "gallery: 5 photos enrolled, 0 enrolled before, 0 left out\n", "")
    code, _, err = run_released("identify-all", "in", "--out", "found", "--pictures")
    assert code == 1 and "was begun with a gallery that held something else" in err
    out = run_released("identify-all", "in", "--out", "again")[1]
    assert out == "again: 6 photos, 0 videos; 7 named, 0 not sure, 3 unknown (a track of a video is one); 1 left out\n"


def test_small_groups_and_blurred_faces_are_left_out(run_released: Run) -> None:
    write_image(Path("ada.png"), orl_image(2, 10))
    run_released("enroll", "Ada", "ada.png")
    for person, number in ((5, 1), (5, 2), (5, 3), (8, 1), (8, 2)):
        write_image(Path(f"in/{person}-{number}.png"), orl_image(person, number))
    write_image(Path("in/0-blurred.png"), cv2.GaussianBlur(orl_image(8, 3), (0, 0), 16))
    write_image(Path("in/5-0-blurred.png"), cv2.GaussianBlur(orl_image(9, 1), (0, 0), 16))
    run_released("identify-all", "in", "--out", "found")
    assert run_released("group", "found", "--min-faces", "3")[1] == (
        "found: 1 group of 3 faces; 2 in groups of fewer than 3, 2 too unclear, small or blurred\n"
    )
    assert [path.name for path in Path("found/groups").iterdir()] == ["001"]
    assert sorted(path.name[:3] for path in Path("found/groups/001").iterdir()) == ["5-1", "5-2", "5-3"]


def test_group_without_complete_results_is_an_error(run_released: Run) -> None:
    write_image(Path("ada.png"), orl_image(2, 10))
    run_released("enroll", "Ada", "ada.png")
    code, _, err = run_released("group", "nothing")
    assert (code, err) == (1, "error: nothing: no results; `onelook identify-all SOURCE --out nothing` makes them\n")
    assert run_released("identify-all", "ada.png", "--out", "found")[0] == 0
    Path("found/embeddings.safetensors").write_bytes(Path("found/embeddings.safetensors").read_bytes()[:-1])
    assert "missing or incomplete" in run_released("group", "found")[2]
