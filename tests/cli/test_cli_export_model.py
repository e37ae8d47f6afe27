"""Where `onelook export-model` writes, and what it refuses."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.networks import light_model, tiny_embedding
from onelook import cli
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import fingerprint
from onelook.model.serialization import save_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`onelook export-model` with arguments in a folder with two models, as (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain", "meshes"):
        save_model(Path(name), JointNetwork(light_model(tiny_embedding(8), pyramid=16, mesh=name == "meshes")))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["onelook", "export-model", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), *capsys.readouterr()

    return call


def test_without_a_name_it_writes_beside_the_folder_and_leaves_the_folder_alone(run: Run, tmp_path: Path) -> None:
    before = sorted(path.name for path in Path("plain").iterdir())
    code, out, err = run("--model", "plain")
    assert (code, err) == (0, "") and out.startswith(f"{tmp_path / 'plain.onnx'}: model ")
    assert OnnxPredictor(Path("plain.onnx")).fingerprint == fingerprint(Path("plain"))
    assert sorted(path.name for path in Path("plain").iterdir()) == before


def test_where_nothing_can_be_written_beside_it_the_line_says_what_to_do(run: Run) -> None:
    Path("plain.onnx").mkdir()
    code, out, err = run("--model", "plain")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.endswith("nothing was changed; name a FILE elsewhere, and name it to the other commands by --model\n")
    assert run("plain.onnx", "--model", "plain")[2].endswith("nothing was changed\n")


def test_a_model_with_meshes_is_exported_by_name_alone(run: Run) -> None:
    code, _, err = run("--model", "meshes")
    assert code == 1 and err.startswith("error: meshes: its mesh head stays in torch") and err.count("\n") == 1
    assert run("without.onnx", "--model", "meshes")[0] == 0


def test_a_file_of_another_kind_is_refused(run: Run) -> None:
    assert run("model.bin", "--model", "plain")[::2] == (1, "error: model.bin: name a file that ends in .onnx\n")


def test_eight_bits_need_photos_with_faces(run: Run) -> None:
    Path("photos").mkdir()
    expected = "no photo with a face to measure by; name a folder of some dozens\n"
    for folder in ("photos", "nowhere"):
        assert run("small.onnx", "--model", "plain", "--int8", folder)[::2] == (1, f"error: {folder}: {expected}")
