"""The commands `detect` and `embed`, with the released weights."""

import json
from pathlib import Path

import numpy as np

import onelook
from helpers.command_line import Run, orl_image
from onelook.data.image_io import read_image, write_image


def test_faces_are_listed_cropped_and_drawn(run_released: Run) -> None:
    write_image(Path("two.png"), np.concatenate([orl_image(1, 1), orl_image(2, 1)], axis=1))
    faces = onelook.detect("two.png")
    code, out, err = run_released("detect", "two.png")
    assert (code, err) == (0, "")
    for number, (line, face) in enumerate(zip(out.splitlines(), faces, strict=True), 1):
        photo, listed_number, box, score, size, *_ = line.split("\t")
        assert (photo, listed_number, score) == ("two.png", str(number), f"{face.score:.3f}")
        np.testing.assert_allclose([int(corner) for corner in box.split()], face.box, atol=0.5)
        assert size == f"{face.quality.size:.0f}"
    code, out, _ = run_released("detect", "two.png", "--json", "--crops", "crops", "--pictures", "drawn")
    (result,) = json.loads(out)
    assert (code, result["crops"], result["picture"]) == (0, ["crops/two.png", "crops/two-2.png"], "drawn/two.png")
    for number, (found, face) in enumerate(zip(result["faces"], faces, strict=True), 1):
        assert found == {"number": number, **face.to_dict(), **face.quality.to_dict()}
    np.testing.assert_array_equal(read_image(Path("crops/two-2.png")), onelook.align_face("two.png", faces[1]))
    np.testing.assert_array_equal(read_image(Path("drawn/two.png")), onelook.draw_faces("two.png", faces))


def test_embeddings_are_printed_as_text_and_json(run_released: Run) -> None:
    write_image(Path("one.png"), orl_image(1, 1))
    expected = onelook.embed("one.png")
    photo, _, numbers = run_released("embed", "one.png")[1].split("\t")
    (result,) = json.loads(run_released("embed", "one.png", "--json")[1])
    assert photo == result["photo"] == "one.png"
    for values in ([float(number) for number in numbers.split()], result["faces"][0]["embedding"]):
        np.testing.assert_allclose([values], expected, atol=1e-6)


def test_photos_without_a_face_are_reported_and_the_others_processed(run_released: Run) -> None:
    write_image(Path("one.png"), orl_image(1, 1))
    write_image(Path("wall.png"), np.full((300, 300, 3), 127, np.uint8))
    for command in ("detect", "embed"):
        code, out, err = run_released(command, "wall.png", "none.png", "one.png")
        assert (code, len(out.splitlines())) == (1, 1)
        assert err == "error: wall.png: no face found\nerror: none.png: no such photo\n"
