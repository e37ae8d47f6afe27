"""The commands `verify` and `find`, with the released weights."""

import json
from pathlib import Path

import numpy as np
import pytest

import onelook
from helpers.command_line import Run, orl_image
from onelook.data.image_io import write_image


@pytest.fixture
def photos(run_released: Run) -> None:
    """Write photos of two people, alone and together, to the working directory of `run_released`."""
    for person in (2, 5):
        for number in (1, 2):
            write_image(Path(f"{person}-{number}.png"), orl_image(person, number))
    large, small = orl_image(2, 3), orl_image(5, 3)[::2, ::2]
    write_image(Path("in/both.png"), np.concatenate([large, np.pad(small, ((0, 160), (0, 0), (0, 0)))], axis=1))
    write_image(Path("in/deep/2.png"), orl_image(2, 4))
    write_image(Path("in/5.png"), orl_image(5, 4))
    write_image(Path("wall.png"), np.full((300, 300, 3), 127, np.uint8))


@pytest.mark.usefixtures("photos")
def test_two_photos_are_compared(run_released: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = onelook.verify("2-1.png", "2-2.png")
    code, out, err = run_released("verify", "2-1.png", "2-2.png")
    answer, *numbers = out.rstrip("\n").split("\t")
    assert (code, err, answer) == (0, "", "same person")
    expected = compared.similarity, compared.threshold, compared.far, compared.confidence
    np.testing.assert_allclose([float(number) for number in numbers], expected, rtol=1e-5)
    assert run_released("verify", "2-1.png", "5-1.png")[1].startswith("different people\t")
    stricter = json.loads(run_released("verify", "2-1.png", "2-2.png", "--far", "1e-9", "--json")[1])
    assert (stricter["far"], stricter["faces"][1]["photo"]) == (1e-9, "2-2.png")
    assert stricter["threshold"] > compared.threshold
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run_released("verify", "2-1.png", "2-2.png")[1].startswith("same person\nsimilarity 0.")


@pytest.mark.usefixtures("photos")
def test_a_photo_without_one_face_cannot_be_compared(run_released: Run) -> None:
    code, out, err = run_released("verify", "2-1.png", "wall.png")
    assert (code, out, err) == (1, "", "error: wall.png: no face found; use a photo with one clear face\n")
    code, out, err = run_released("verify", "2-1.png", "in/both.png")
    assert (code, out) == (1, "") and err.startswith("error: in/both.png: 2 faces found (1: ") and "--largest" in err
    assert run_released("verify", "2-1.png", "in/both.png", "--largest")[1].startswith("same person")
    code, out, err = run_released("verify", "2-1.png", "none.png", "--far", "0")
    assert (code, out, err) == (1, "", "error: rate 0: must lie between 0 and 1, such as 0.001\n")


@pytest.mark.usefixtures("photos")
def test_photos_of_a_person_are_found_without_enrolling(run_released: Run) -> None:
    for name in ("in/broken.jpg", "in/film.mp4"):
        Path(name).write_bytes(b"broken")
    code, out, err = run_released("find", "2-1.png", "in")
    assert code == 1
    assert [line.split("\t")[0] for line in sorted(out.splitlines())] == ["in/both.png", "in/deep/2.png"]
    assert "left out: in/broken.jpg" in err and "in: 1 video not searched" in err
    found = onelook.find(onelook.detect("2-1.png")[0], "in")
    document = json.loads(run_released("find", "2-1.png", "in", "--json")[1])
    assert document["found"] == [each.to_dict() for each in found]
    assert (document["photos"], document["faces"], document["videos"], len(document["errors"])) == (3, 4, 1, 1)
    similarities = [each.similarity for each in found]
    assert similarities == sorted(similarities, reverse=True)
    assert run_released("find", "2-1.png", "in", "--fpir", "1e-12")[1] == ""
    code, _, err = run_released("find", "2-1.png", "none")
    assert (code, err) == (1, "error: none: no such folder; name the folder to search\n")
