"""Exported files where torch is not installed."""

import json
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.portraits import group
from onelook.data.image_io import decode_image
from onelook.gallery.gallery import create_gallery, open_gallery
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

_ONNXRUNTIME_ONLY = """
import json, sys
import cv2, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
photo = cv2.cvtColor(cv2.imread(sys.argv[2]), cv2.COLOR_BGR2RGB)
thresholds = {"score": numpy.float32([0.5]), "nms": numpy.float32([0.4])}
faces = [session.run(None, {"photos": numpy.stack([photo] * n), **thresholds}) for n in (1, 2)]
"""
_PRINT = """
print(json.dumps({"faces": [[each.tolist() for each in outputs] for outputs in faces], "modules": sorted(sys.modules)}))
"""
_ONNX_PREDICTOR = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import cv2
from onelook.inference.onnx_predictor import OnnxPredictor
photo = cv2.cvtColor(cv2.imread(sys.argv[2]), cv2.COLOR_BGR2RGB)
detect = SimpleNamespace(score=0.5, nms=0.4, longest_side=1280, face_size=8192)
found = OnnxPredictor(Path(sys.argv[1])).predict([photo], detect)[0]
faces = [[found.scores * 0, found.boxes, found.scores, found.landmarks, found.embeddings]]
"""
_ALLOWED = (packages_distributions()["onnxruntime"][0], "numpy", "opencv-python-headless")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a folder of packages that links to three installed distributions."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in _ALLOWED:
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "bin"}:
            source = Path(str(distribution(name).locate_file(top)))
            if source.exists() and not (folder / top).exists():
                (folder / top).symlink_to(source)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    file.write_bytes(group((3, 1), (8, 2)))
    return file


def run(program: str, path: list[Path], *arguments: Path) -> dict:
    """Run a program in an isolated Python whose path is the standard library and `path`."""
    set_path = f"import sys; sys.path[1:1] = {[str(each) for each in path]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", set_path + program + _PRINT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("program", [_ONNXRUNTIME_ONLY, _ONNX_PREDICTOR], ids=["onnxruntime", "OnnxPredictor"])
def test_exported_file_needs_only_onnxruntime_numpy_and_opencv(
    program: str, environment: Path, photo: Path, exported: Path, released: TorchPredictor
) -> None:
    source = Path(__file__).resolve().parents[2] / "src"
    own = [] if program is _ONNXRUNTIME_ONLY else [source]
    printed = run(program, [environment, *own], exported, photo)
    # The graph is one pass: octave 0 answers for every face.
    expected = released.predict(
        [cv2.imread(str(photo))[:, :, ::-1]], DetectSettings(score=0.5, nms=0.4, longest_side=1280, face_size=8192)
    )[0]
    assert len(expected) == 2
    for number, (images, boxes, scores, landmarks, embeddings) in enumerate(printed["faces"], start=1):
        assert images == sorted([*range(number)] * 2)
        for name, values in zip(
            ("boxes", "scores", "landmarks", "embeddings"), (boxes, scores, landmarks, embeddings), strict=True
        ):
            wanted = np.concatenate([getattr(expected, name)] * number)
            np.testing.assert_allclose(values, wanted, atol=1e-4 * max(1, float(np.abs(wanted).max())))
    imported = {module.split(".")[0] for module in printed["modules"]}
    assert not imported & {"torch", "onnx", "pydantic", "safetensors", "faiss", "PIL"}


def test_environment_has_no_torch(environment: Path) -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        run("import json, torch", [environment])


# torch may predict in bfloat16, of eight significant bits.
_BFLOAT16_TOLERANCE = 0.03


def test_commands_and_page_work_without_torch(tmp_path: Path, exported: Path) -> None:
    for person in (3, 8):
        (tmp_path / f"many/person {person}").mkdir(parents=True)
        (tmp_path / f"many/person {person}/5.png").write_bytes(group((person, 5)))
        (tmp_path / f"{person}.png").write_bytes(group((person, 4)))
    for name in ("photo", "party/1", "party/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").write_bytes(group((3, 1), (8, 2), (20, 1 + name.count("2"))))
    model = ["--model", str(exported)]
    commands = [
        ["enroll", "person 3", "3.png", *model],
        ["enroll-all", "many", *model],
        ["identify", "photo.png", "--json", "--pictures", "drawn", *model],
        ["detect", "photo.png", "--crops", "crops", "--pictures", "drawn", *model],
        ["embed", "3.png", *model],
        ["verify", "3.png", "many/person 3/5.png", *model],
        ["find", "3.png", "party", *model],
        ["identify-all", "party", "--out", "out", "--pictures", *model],
        ["group", "out"],
    ]
    program = f"""
import sys; sys.modules |= dict.fromkeys(("torch", "onnx", "scipy", "sklearn", "matplotlib", "pandas"))
from pathlib import Path
from onelook.cli import main
from onelook.page.controller import PageController
from onelook.service.shared_gallery import SharedGallery
for command in {commands!r}:
    sys.argv = ["onelook", *command]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
page = PageController(SharedGallery(Path("gallery"), model=Path({str(exported)!r})))
page.name(page.identify(Path("8.png").read_bytes(), "8.png", "1").faces[:1], "person 8")
print(len(page.shared.gallery.faces_by_person()["person 8"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("person 3: 1 photo enrolled, 1 in all, in gallery", "2")
    assert "\nsame person\t" in done.stdout and "\nparty/1.png\t" in done.stdout
    assert len(list((tmp_path / "out/groups").iterdir())) == 1  # the unknown person in both party photos

    printed = json.loads(done.stdout[done.stdout.index("[\n") : done.stdout.index("\n]") + 2])[0]["faces"]
    gallery = create_gallery(tmp_path / "with torch")
    for person in (3, 8):
        gallery.enroll(f"person {person}", [tmp_path / f"many/person {person}/5.png"])
    gallery.enroll("person 3", [tmp_path / "3.png"])
    faces = gallery.identify(decode_image((tmp_path / "photo.png").read_bytes(), "photo"))
    assert [(face["name"], face["similarity"]) for face in printed] == [
        (face.name, pytest.approx(face.similarity, abs=_BFLOAT16_TOLERANCE)) for face in faces
    ]
    assert {face.name for face in faces} == {"person 3", "person 8", None}
    mine, theirs = (
        {row.sha256: row.quality for rows in each.faces_by_person().values() for row in rows}
        for each in (gallery, open_gallery(tmp_path / "gallery"))
    )
    assert len(mine) == 3
    for photo, quality in mine.items():
        assert theirs[photo].model_dump() == pytest.approx(quality.model_dump(), rel=_BFLOAT16_TOLERANCE)
