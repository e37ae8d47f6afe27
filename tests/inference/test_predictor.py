"""Which library runs a model: onnxruntime where the model lies exported beside its folder, torch elsewhere."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.export.onnx_writer import write_onnx
from onelook.inference.loading import load_torch_predictor, open_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import fingerprint, onnx_path
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings


def save(folder: Path, *, seed: int = 0, mesh: bool = False) -> JointNetwork:
    torch.manual_seed(seed)
    network = JointNetwork(light_model(tiny_embedding(8), pyramid=16, mesh=mesh)).eval()
    save_model(folder, network)
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with its exported file beside it."""
    made = tmp_path / "build" / "model"
    write_onnx(onnx_path(made), save(made), fingerprint(made))
    return made


def test_the_file_beside_a_folder_is_run_and_answers_as_torch_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_folder, by_file = open_predictor(folder), open_predictor(folder.parent / "model.onnx")
    assert isinstance(by_folder, OnnxPredictor) and isinstance(by_file, OnnxPredictor)
    onnx_path(folder).unlink()
    plain = open_predictor(folder)
    assert isinstance(plain, TorchPredictor)
    assert plain.fingerprint == by_folder.fingerprint == by_file.fingerprint
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=640)
    # In float32, as the file is: the folder's own may be rounded.
    one, other = (looker.predict([noise], detect)[0] for looker in (load_torch_predictor(folder), by_folder))
    assert len(one) == len(other) > 0
    np.testing.assert_allclose(np.sort(other.scores), np.sort(one.scores), atol=1e-5)
    assert capsys.readouterr() == ("", "")


def test_a_file_of_another_model_is_left_alone_and_one_line_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(folder, seed=1)
    assert isinstance(open_predictor(folder), TorchPredictor)
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"warning: {onnx_path(folder)}: made of another model than {folder}; ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("damage", [b"", b"no graph"])
def test_a_damaged_file_is_left_alone_and_one_line_says_so(
    folder: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx_path(folder).write_bytes(damage)
    assert isinstance(open_predictor(folder), TorchPredictor)
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {onnx_path(folder)}: ") and err.count("\n") == 1


def test_without_onnxruntime_torch_runs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert isinstance(open_predictor(folder), TorchPredictor)
    assert capsys.readouterr() == ("", "")


def test_a_mesh_head_keeps_a_model_in_torch(folder: Path) -> None:
    write_onnx(onnx_path(folder), save(folder, mesh=True), fingerprint(folder))
    looker = open_predictor(folder)
    assert isinstance(looker, TorchPredictor) and looker.has_mesh_head


def test_the_file_of_a_folder_that_is_gone_stands_for_nothing(folder: Path) -> None:
    (folder / "model.json").unlink()
    with pytest.raises(ModelError, match="not a model folder"):
        open_predictor(folder)


@pytest.mark.parametrize("name", [".", "../model", "../../build/model/"])
def test_a_folder_named_from_within_has_the_same_file(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert onnx_path(Path(name)) == onnx_path(folder)
