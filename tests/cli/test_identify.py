import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import onelook
from helpers.cli_workspace import (
    DETECT,
    THRESHOLD,
    empty_index,
    make_metadata,
    remove_model,
    replace_model,
    small_settings,
    truncate_model,
)
from helpers.command_line import Run
from helpers.open_set import make_open_set_model
from onelook.data.image_io import read_image
from onelook.files import shorten_stem
from onelook.gallery import storage
from onelook.gallery.data import empty_gallery
from onelook.inference.loading import load_torch_predictor
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model


def test_a_photo_is_identified_until_the_person_is_forgotten(run: Run, workspace: Path) -> None:
    assert run("enroll", "Çağla", "s1.png") == (0, "Çağla: 1 photo enrolled, 1 in all, in gallery\n", "")
    assert run("enroll", "Bob", "s2.png")[0] == 0
    code, out, err = run("identify", "s1.png", "s3.png")
    assert (code, err) == (0, "")
    enrolled, unknown = (line.split("\t") for line in out.splitlines())
    assert (enrolled[0], enrolled[2], unknown[2]) == ("s1.png", "Çağla", "unknown")
    assert float(enrolled[3]) == pytest.approx(1, abs=1e-3)
    x1, y1, x2, y2 = map(int, enrolled[1].split())
    assert 48 <= x1 < 140 < x2 <= 232
    assert 48 <= y1 < 160 < y2 <= 290
    assert run("gallery")[1] == "Bob\t1\nÇağla\t1\n"
    assert run("gallery", "--photos")[1] == "Bob\t1\ts2.png\nÇağla\t1\ts1.png\n"
    assert run("forget", "Çağla")[0] == 0
    assert run("gallery")[1] == "Bob\t1\n"
    assert run("identify", "s1.png")[1].split("\t")[2] == "unknown"


def test_a_poor_face_is_enrolled_with_a_warning_and_not_sure(run: Run, workspace: Path) -> None:
    path = workspace / "build/evaluation/calibration.json"
    model = make_open_set_model().model_dump(mode="json")
    model["poor"]["size"] = 1000
    model["impostors"]["mean"] = 100  # no face is named
    model["unusable"] = {"size": 0, "sharpness": 0, "profile": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"open_set": model}))
    code, _, err = run("enroll", "Anna", "s1.png")
    assert code == 0
    assert re.fullmatch(r"warning: s1.png: 1\d\d px: this face is hard to recognize; add a better photo\n", err)
    answers = [line.split("\t")[2] for line in run("identify", "s3.png", "s2.png")[1].splitlines()]
    assert all(re.fullmatch(r"not sure: 1\d\d px", answer) for answer in answers)


def test_json_holds_every_face_of_a_photo(run: Run) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, _ = run("identify", "both.png", "--json")
    (result,) = json.loads(out)
    assert (code, result["photo"], result["error"]) == (0, "both.png", None)
    left, right = sorted(result["faces"], key=lambda face: face["box"][0])
    assert left["name"] == left["nearest"] == right["nearest"] == "Anna"
    assert right["name"] is None
    assert left["similarity"] > THRESHOLD > right["similarity"]
    for face in (left, right):
        points = np.asarray(face["landmarks"])
        assert points.shape == (5, 2)
        assert (points > face["box"][:2]).all() and (points < face["box"][2:]).all()


def test_the_python_api_gives_the_same_faces(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    gallery = onelook.open_gallery("gallery", model="build/model")
    faces = gallery.identify("both.png")
    assert sorted(face.name or "" for face in faces) == ["", "Anna"]
    (result,) = json.loads(run("identify", "both.png", "--json")[1])
    assert [face.to_dict() for face in faces] == result["faces"]


def test_unreadable_photos_are_reported_and_the_others_identified(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, err = run("identify", "none.jpg", "empty.jpg", "wall.png", "build", "s1.png", "--json")
    assert code == 1
    assert [bool(result["error"]) for result in json.loads(out)] == [True, True, True, True, False]
    lines = err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["none.jpg", "empty.jpg", "wall.png", "build"]
    assert lines[2] == "error: wall.png: no face found"


def test_the_pipelines_gallery_is_the_default_without_another_and_is_read_only(run: Run, workspace: Path) -> None:
    code, out, _ = run("identify", "s1.png")
    assert (code, out.split("\t")[2:4]) == (0, ["unknown", "-"])
    assert run("gallery")[:2] == (0, "")
    for arguments in (("enroll", "Anna", "s1.png"), ("forget", "Anna")):
        code, _, err = run(*arguments, "--gallery", "build/gallery")
        assert code == 1
        assert "pipeline" in err and "--gallery" in err


@pytest.mark.parametrize("damage", [truncate_model, empty_index, remove_model, replace_model])
def test_a_damaged_model_or_gallery_gives_a_one_line_error(
    run: Run, workspace: Path, damage: Callable[[Path], None]
) -> None:
    run("enroll", "Anna", "s1.png")
    damage(workspace)
    for arguments in (("identify", "s1.png"), ("enroll", "Bob", "s2.png")):
        code, out, err = run(*arguments)
        assert (code, out, len(err.splitlines())) == (1, "", 1), err
        assert err.startswith("error: ")


def test_meshes_are_written_one_file_per_face_and_drawn(run: Run, workspace: Path) -> None:
    assert run("identify", "s1.png", "--meshes", "meshes")[::2] == (
        1,
        "error: build/gallery: its model has no mesh head; name another by --model, or leave --meshes out\n",
    )
    network = build_pretrained(small_settings().model_copy(update={"mesh": True}))
    assert network.mesh is not None
    for parameter in network.mesh.parameters():  # vertices around the center of the anchor
        parameter.data.uniform_(-0.3, 0.3) if parameter.ndim == 1 else parameter.data.zero_()
    save_model(workspace / "mesh_model", network)
    predictor = load_torch_predictor(workspace / "mesh_model")
    metadata = make_metadata(predictor.fingerprint, managed=False, threshold=1)
    storage.create(workspace / "gallery", empty_gallery(metadata))
    arguments = ("identify", "both.png", "--model", "mesh_model", "--meshes", "meshes")
    assert run(*arguments, "--pictures", "drawn")[0] == 0
    assert run(*arguments)[0] == 0, "a second run overwrites no file"
    assert sorted(path.name for path in (workspace / "meshes").iterdir()) == [
        "both-2.obj",
        "both-3.obj",
        "both-4.obj",
        "both.obj",
    ]
    found = predictor.predict([read_image(workspace / "both.png")], DETECT)[0]
    assert found.meshes is not None
    written = [
        line.split() for line in (workspace / "meshes/both-2.obj").read_text().splitlines() if line.startswith("v ")
    ]
    np.testing.assert_allclose(np.array([row[1:] for row in written], float), found.meshes[1] * [1, -1, -1], atol=1e-3)
    drawn, original = read_image(workspace / "drawn/both.png"), read_image(workspace / "both.png")
    x, y = found.meshes[0][:, :2].astype(int).T
    assert (drawn[y, x] != original[y, x]).any(axis=1).mean() > 0.9


def test_pictures_are_drawn_and_no_file_is_overwritten(run: Run, workspace: Path) -> None:
    (workspace / "other").mkdir()
    shutil.copy("s2.png", "other/s1.png")
    originals = {name: (workspace / name).read_bytes() for name in ("s1.png", "other/s1.png")}
    run("enroll", "Anna", "s1.png")
    (workspace / "pics").mkdir()
    for folder, names in (("pics", ["s1.png", "s1-2.png"]), (".", ["s1-2.png", "s1-3.png"])):
        _, out, _ = run("identify", "s1.png", "other/s1.png", "--pictures", folder, "--json")
        assert [Path(result["picture"]).name for result in json.loads(out)] == names
    assert {name: (workspace / name).read_bytes() for name in originals} == originals
    drawn, original = read_image(workspace / "pics/s1.png"), read_image(workspace / "s1.png")
    assert drawn.shape == original.shape
    assert (drawn != original).any()


def test_a_picture_of_a_photo_with_a_long_name_has_a_shortened_name(run: Run) -> None:
    photo = Path("山" * 83 + ".png")
    shutil.copy("s1.png", photo)
    assert run("identify", str(photo), "--pictures", "pics")[0] == 0
    (picture,) = Path("pics").iterdir()
    assert picture.stem == shorten_stem(photo.stem) and picture.stem.startswith("山" * 60)


def test_pictures_that_cannot_be_written_give_an_error(run: Run, workspace: Path) -> None:
    code, out, err = run("identify", "s1.png", "--pictures", "wall.png")
    assert (code, len(out.splitlines()), len(err.splitlines())) == (1, 1, 1)
    assert "wall.png" in err
    code, _, err = run("identify", "s1.png", "--pictures", "wall.png/deeper")
    assert (code, len(err.splitlines())) == (1, 1)


def test_a_terminal_gets_a_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("enroll", "[bold]Anna[/]", "s1.png")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("identify", "both.png", "s3.png")[1]
    # A name is not interpreted as markup; of two photos with one unknown face each, only the first has a table.
    assert out.startswith("both.png: [bold]Anna[/] and 1 not recognized\n")
    assert out.endswith("s3.png: 1 not recognized\n")
    assert out.count("similarity") == 1 and "unknown" not in out
    assert run("identify", "s3.png", "--all")[1].count("unknown") == 1
    listed = run("gallery")[1]
    assert f"1 person, threshold {THRESHOLD}" in listed and "exact search" in listed


def test_a_folder_is_identified_by_another_command(run: Run, workspace: Path) -> None:
    code, out, err = run("identify", "build")
    assert (code, out) == (1, "")
    assert err == "error: build: a folder; `onelook identify-all build --out found` identifies all in it\n"


def test_a_stricter_rate_names_fewer_faces(run: Run, workspace: Path) -> None:
    path = workspace / "build/evaluation/calibration.json"
    model = make_open_set_model().model_dump(mode="json")
    model["unusable"] = {"size": 0, "sharpness": 0, "profile": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"open_set": model}))
    run("enroll", "Anna", "s1.png")
    assert run("identify", "s1.png")[1].split("\t")[2] == "Anna"
    assert run("identify", "s1.png", "--fpir", "1e-9")[1].split("\t")[2] == "unknown"
    assert run("identify-all", "s1.png", "--out", "found", "--fpir", "1e-9")[1].startswith(
        "found: 1 photo, 0 videos; 0 named"
    )
    code, _, err = run("identify-all", "s1.png", "--out", "found")
    assert code == 1 and "was begun with --fpir 1e-09" in err
    for rate in ("0", "1.5", "nan"):
        code, out, err = run("identify", "s1.png", "--fpir", rate)
        assert (code, out, err) == (1, "", f"error: rate {rate}: must lie between 0 and 1, such as 0.001\n")
