"""The exported file in an environment that holds onnxruntime, NumPy and OpenCV, and nothing else."""

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.portraits import group
from onelook.data.image_io import decode_image
from onelook.gallery.gallery import create_gallery, open_gallery
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

# What the file takes: photos as they are, and the two terms of a look.
_BARE = """
import json, sys
import cv2, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
photo = cv2.cvtColor(cv2.imread(sys.argv[2]), cv2.COLOR_BGR2RGB)
terms = {"score": numpy.float32([0.5]), "nms": numpy.float32([0.4])}
answers = [session.run(None, {"photos": numpy.stack([photo] * n), **terms}) for n in (1, 2)]
"""
_TELL = """
print(json.dumps({"faces": [[each.tolist() for each in told] for told in answers], "modules": sorted(sys.modules)}))
"""
_WITH_RUNTIME = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
import cv2
from onelook.inference.onnx_predictor import ExportedLooker
photo = cv2.cvtColor(cv2.imread(sys.argv[2]), cv2.COLOR_BGR2RGB)
found = ExportedLooker(Path(sys.argv[1])).look([photo], SimpleNamespace(score=0.5, nms=0.4, longest_side=1280))[0]
answers = [[found.scores * 0, found.boxes, found.scores, found.landmarks, found.embeddings]]
"""
_ALLOWED = ("onnxruntime", "numpy", "opencv-python-headless")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder of packages with what the three distributions installed, as links."""
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
    """A program in a Python that finds its own library and `path`: no site, no user folder, no variables."""
    begin = f"import sys; sys.path[1:1] = {[str(each) for each in path]!r}\n"
    command = [sys.executable, "-I", "-S", "-c", begin + program + _TELL, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("program", [_BARE, _WITH_RUNTIME], ids=["file alone", "onelook.runtime"])
def test_faces_are_those_that_torch_finds(
    program: str, environment: Path, photo: Path, exported: Path, released: TorchPredictor
) -> None:
    source = Path(__file__).resolve().parents[2] / "src"
    own = [] if program is _BARE else [source]
    told = run(program, [environment, *own], exported, photo)
    expected = released.predict(
        [cv2.imread(str(photo))[:, :, ::-1]], DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    )[0]
    assert len(expected) == 2
    for number, (images, boxes, scores, landmarks, embeddings) in enumerate(told["faces"], start=1):
        assert images == sorted([*range(number)] * 2)
        for name, values in zip(
            ("boxes", "scores", "landmarks", "embeddings"), (boxes, scores, landmarks, embeddings), strict=True
        ):
            wanted = np.concatenate([getattr(expected, name)] * number)
            np.testing.assert_allclose(values, wanted, atol=1e-4 * max(1, float(np.abs(wanted).max())))
    imported = {module.split(".")[0] for module in told["modules"]}
    assert not imported & {"torch", "onnx", "pydantic", "safetensors", "faiss", "PIL"}


def test_the_environment_has_no_torch(environment: Path) -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        run("import json, torch", [environment])


# With torch a gallery may look in bfloat16, of eight bits.
_ROUNDED = 0.03


def test_a_gallery_is_filled_and_asked_without_torch(tmp_path: Path, exported: Path) -> None:
    """The commands one after the other, in a Python that cannot import torch; the answers are those with torch."""
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
        ["identify-all", "party", "--out", "out", "--pictures", *model],
        ["group", "out"],
    ]
    program = f"""
import sys; sys.modules["torch"] = None
from pathlib import Path
from onelook.cli import main
from onelook.page.controller import Desk
for command in {commands!r}:
    sys.argv = ["onelook", *command]
    try:
        main()
    except SystemExit as end:
        assert not end.code, command
desk = Desk(Path("gallery"), model=Path({str(exported)!r}))
shown = desk.look(Path("8.png").read_bytes(), "8.png")
print(desk.name(shown.faces[0], "person 8").total)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("person 3: 1 photo enrolled, 1 in all, in gallery", "2")
    assert len(list((tmp_path / "out/groups").iterdir())) == 1  # the stranger of both party photos

    told = json.loads(done.stdout[done.stdout.index("[\n") : done.stdout.index("\n]") + 2])[0]["faces"]
    gallery = create_gallery(tmp_path / "with torch")
    for person in (3, 8):
        gallery.enroll(f"person {person}", [tmp_path / f"many/person {person}/5.png"])
    gallery.enroll("person 3", [tmp_path / "3.png"])
    faces = gallery.identify(decode_image((tmp_path / "photo.png").read_bytes(), "photo"))
    assert [(face["name"], face["similarity"]) for face in told] == [
        (face.name, pytest.approx(face.similarity, abs=_ROUNDED)) for face in faces
    ]
    assert {face.name for face in faces} == {"person 3", "person 8", None}
    mine, theirs = (
        {row.sha256: row.quality for rows in each.rows().values() for row in rows}
        for each in (gallery, open_gallery(tmp_path / "gallery"))
    )
    assert len(mine) == 3
    for photo, quality in mine.items():
        assert theirs[photo].model_dump() == pytest.approx(quality.model_dump(), rel=_ROUNDED)
