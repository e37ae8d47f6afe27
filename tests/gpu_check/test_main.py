"""The checks of a card, here of the CPU against itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import onelook.gpu_check.inference_check as inference_check
from onelook.gpu_check.__main__ import run_checks
from onelook.gpu_check.report import CheckFailedError, Report, Skipped
from onelook.gpu_check.scenes import cut_scenes, write_scenes
from onelook.gpu_check.training_check import check_float64_step, make_trainer

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/pictures/group.jpg"
CPU = torch.device("cpu")

# What a bare machine has besides the standard library, with what torch and pydantic need themselves.
BARE = """
import sys
from importlib.machinery import PathFinder

ALLOWED = {
    "torch", "numpy", "cv2", "safetensors", "pydantic", "onelook",
    "torchgen", "functorch", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec", "setuptools",
    "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection",
}

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in ALLOWED or top.startswith("_"):
            return PathFinder.find_spec(name, path, target)
        return None

sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check") / "scenes"
    write_scenes(folder, PICTURE, 200, 8)
    return folder


def test_all_checks_pass_on_the_cpu_of_a_bare_machine(tmp_path: Path) -> None:
    program = f"""{BARE}
sys.argv = ["gpu_check", "--device", "cpu", "--quick", "--picture", {str(PICTURE)!r}, "--out", "check.json"]
import runpy
runpy.run_module("onelook.gpu_check", run_name="__main__")
"""
    path = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=path
    )
    assert result.returncode == 0, result.stdout + result.stderr
    results = json.loads((tmp_path / "check.json").read_text())
    outcomes = {name: each["outcome"] for name, each in results.items()}
    assert outcomes["inference"] == outcomes["step in float64"] == outcomes["identical runs"] == "passed"
    assert results["FAISS"]["reason"].startswith("not installed")
    assert results["training, resnet50"]["images_per_second"] > 0


def test_the_first_failure_stops_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_check, "MAX_BOX_DIFFERENCE", 0.0)
    report = Report(tmp_path / "check.json")
    with pytest.raises(CheckFailedError, match=r"^inference: boxes differ by 0 px .* update the driver and torch"):
        run_checks("cpu", PICTURE, report, quick=True)
    results = json.loads((tmp_path / "check.json").read_text())
    assert results.keys() == {"machine", "inference"} and results["inference"]["outcome"] == "failed"


def test_the_report_has_the_reason_of_what_was_skipped_or_raised(tmp_path: Path) -> None:
    report = Report(tmp_path / "check.json")

    def skip() -> dict[str, object]:
        raise Skipped("one card")

    def crash() -> dict[str, object]:
        raise RuntimeError("CUDA error:\nout of order")

    report.run("a", skip)
    with pytest.raises(CheckFailedError, match=r"^b: CUDA error: out of order; please report it with"):
        report.run("b", crash)
    results = json.loads((tmp_path / "check.json").read_text())
    assert (results["a"]["reason"], results["b"]["outcome"]) == ("one card", "failed")


def test_scenes_are_cut_with_their_faces(scenes: Path) -> None:
    trainer = make_trainer(scenes, CPU)
    assert len(trainer.scenes.scenes) == 8 and sum(len(scene.faces) for scene in trainer.scenes.scenes) > 4
    (first, transform), *_ = cut_scenes(PICTURE, 200, 1, seed=0)
    assert first.shape == (200, 200, 3) and transform.shape == (2, 3)


def test_a_wrong_gradient_is_found(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def make(*arguments: object, **changes: object) -> object:
        trainer = make_trainer(*arguments, **changes)
        calls.append(trainer)
        if len(calls) == 2:
            with torch.no_grad():
                next(trainer.network.parameters()).mul_(1 + 1e-4)
        return trainer

    monkeypatch.setattr("onelook.gpu_check.training_check.make_trainer", make)
    with pytest.raises(CheckFailedError, match=r"^step in float64: losses differ by .* between cpu and the CPU"):
        check_float64_step(scenes, CPU)
