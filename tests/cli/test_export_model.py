import json
from pathlib import Path

import numpy as np
import pytest

from helpers.command_line import Run
from helpers.networks import light_model, tiny_embedding
from onelook.inference.loading import load_torch_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import fingerprint
from onelook.model.serialization import save_model


@pytest.fixture
def export(run_released: Run) -> Run:
    """Return a function that runs `onelook export-model` in a folder with two models."""
    for name in ("plain", "meshes"):
        settings = light_model(tiny_embedding(8), fpn_channels=16, mesh=name == "meshes")
        save_model(Path(name), JointNetwork(settings))

    def export(*arguments: str) -> tuple[int, str, str]:
        return run_released("export-model", *arguments)

    return export


def test_without_a_file_it_writes_beside_the_model_folder(export: Run, tmp_path: Path) -> None:
    before = sorted(path.name for path in Path("plain").iterdir())
    code, out, err = export("--model", "plain")
    assert (code, err) == (0, "") and out.startswith(f"{tmp_path / 'plain.onnx'}: model ")
    assert OnnxPredictor(Path("plain.onnx")).fingerprint == fingerprint(Path("plain"))
    assert sorted(path.name for path in Path("plain").iterdir()) == before


def test_an_unwritable_default_file_gives_a_one_line_error(export: Run) -> None:
    Path("plain.onnx").mkdir()
    code, out, err = export("--model", "plain")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.endswith("nothing was changed; name another FILE, and pass it to the other commands by --model\n")
    assert export("plain.onnx", "--model", "plain")[2].endswith("nothing was changed\n")


def test_a_mesh_model_is_exported_only_to_a_named_file(export: Run) -> None:
    code, _, err = export("--model", "meshes")
    assert code == 1 and err.startswith("error: meshes: its mesh head cannot be exported") and err.count("\n") == 1
    assert export("without.onnx", "--model", "meshes")[0] == 0


def test_a_file_without_the_onnx_suffix_is_refused(export: Run) -> None:
    assert export("model.bin", "--model", "plain")[::2] == (1, "error: model.bin: name a file that ends in .onnx\n")


def test_int8_needs_photos_with_faces(export: Run) -> None:
    Path("photos").mkdir()
    expected = "no photo with a face to calibrate with; name a folder of some dozens\n"
    for folder in ("photos", "nowhere"):
        assert export("small.onnx", "--model", "plain", "--int8", folder)[::2] == (1, f"error: {folder}: {expected}")


def test_an_exported_model_identifies_like_its_folder(run: Run, workspace: Path) -> None:
    run("enroll", "Çağla", "s1.png")
    code, out, err = run("export-model", "out/model.onnx", "--model", "build/model")
    fingerprint = load_torch_predictor(workspace / "build/model").fingerprint
    assert (code, err) == (0, "") and out.startswith(f"out/model.onnx: model {fingerprint[:12]}, ")
    folder, file = (
        json.loads(run("identify", "both.png", "--json", "--model", model)[1])[0]["faces"]
        for model in ("build/model", "out/model.onnx")
    )
    assert {face["name"] for face in file} == {"Çağla", None}
    for from_folder, from_file in zip(folder, file, strict=True):
        assert from_folder["name"] == from_file["name"]
        np.testing.assert_allclose(
            from_folder["box"], from_file["box"], atol=1
        )  # the folder's model may run in bfloat16
    assert run("identify", "s1.png", "--model", "none.onnx")[2].startswith("error: none.onnx: missing; write it with")
    default = run("export-model", "--model", "build/model")[1]
    assert default == out.replace("out/model.onnx", str(workspace / "build/model.onnx"))
    assert json.loads(run("identify", "both.png", "--json")[1])[0]["faces"] == file  # the gallery's own model
    assert run("identify", "s1.png", "--meshes", "meshes", "--model", "out/model.onnx")[0] == 1
