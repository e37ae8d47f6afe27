import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import helpers.pretend  # noqa: F401
from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError, OnelookError
from onelook.export.onnx_writer import write_onnx
from onelook.inference import loading
from onelook.inference.loading import load_torch_predictor, open_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import ONNX, fingerprint, onnx_path
from onelook.model.serialization import save_model
from onelook.settings import DetectSettings


def save_network(folder: Path, *, seed: int = 0, mesh: bool = False) -> JointNetwork:
    torch.manual_seed(seed)
    network = JointNetwork(light_model(tiny_embedding(8), fpn_channels=16, mesh=mesh)).eval()
    save_model(folder, network)
    return network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder with its exported file beside it."""
    model = tmp_path / "build" / "model"
    write_onnx(onnx_path(model), save_network(model), fingerprint(model))
    return model


def test_exported_file_beside_a_folder_is_used_and_matches_torch(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    by_folder, by_file = open_predictor(folder), open_predictor(folder.parent / "model.onnx")
    assert isinstance(by_folder, OnnxPredictor) and isinstance(by_file, OnnxPredictor)
    onnx_path(folder).unlink()
    plain = open_predictor(folder)
    assert isinstance(plain, TorchPredictor)
    assert plain.fingerprint == by_folder.fingerprint == by_file.fingerprint
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=640)
    # In float32 as the exported file; open_predictor may use bfloat16.
    expected, found = (predictor.predict([noise], detect)[0] for predictor in (load_torch_predictor(folder), by_folder))
    assert len(expected) == len(found) > 0
    np.testing.assert_allclose(np.sort(found.scores), np.sort(expected.scores), atol=1e-5)
    assert caplog.messages == []


def test_exported_file_inside_a_folder_is_used_unless_torch_is_faster(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_path(folder).rename(folder / ONNX)
    monkeypatch.setattr(loading, "distribution", lambda name: name)  # oneDNN is installed
    assert isinstance(open_predictor(folder), TorchPredictor)
    monkeypatch.setitem(sys.modules, "torch", None)
    predictor = open_predictor(folder)
    assert isinstance(predictor, OnnxPredictor) and predictor.source == folder / ONNX
    (folder / ONNX).unlink()
    for function in (open_predictor, load_torch_predictor):
        with pytest.raises(ModelError, match=r"model: needs torch; `pip install 'onelook\[train\]'`, or name"):
            function(folder)


def test_exported_file_of_another_model_is_ignored_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_network(folder, seed=1)
    assert isinstance(open_predictor(folder), TorchPredictor)
    (message,) = caplog.messages
    assert message.startswith(f"{onnx_path(folder)}: made of another model than {folder}; ")


@pytest.mark.parametrize("damage", [b"", b"no graph"])
def test_damaged_exported_file_is_ignored_with_a_warning(
    folder: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    onnx_path(folder).write_bytes(damage)
    assert isinstance(open_predictor(folder), TorchPredictor)
    (message,) = caplog.messages
    assert message.startswith(f"{onnx_path(folder)}: ")


def test_torch_is_used_without_onnxruntime(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert isinstance(open_predictor(folder), TorchPredictor)
    assert caplog.messages == []


def test_model_with_mesh_head_is_opened_in_torch(folder: Path) -> None:
    write_onnx(onnx_path(folder), save_network(folder, mesh=True), fingerprint(folder))
    predictor = open_predictor(folder)
    assert isinstance(predictor, TorchPredictor) and predictor.has_mesh_head


@pytest.mark.parametrize("name", ["model", "model.onnx"])
def test_an_unknown_device_is_an_error(folder: Path, name: str) -> None:
    with pytest.raises(OnelookError, match=r"^device 'gpu': unknown; name auto, cpu, cuda, cuda:N or mps$"):
        open_predictor(folder.parent / name, "gpu")


def test_float16_on_the_cpu_is_an_error(folder: Path) -> None:
    with pytest.raises(OnelookError, match=r"^precision float16: not for the CPU; name bfloat16 or float32$"):
        load_torch_predictor(folder, "float16")


def test_a_folder_is_opened_on_another_device(folder: Path) -> None:
    predictor = load_torch_predictor(folder, device=torch.device("pretend:0"))
    assert predictor.device == torch.device("pretend:0") and predictor.min_batch_size > 1
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=640)
    found, expected = (each.predict([noise], detect)[0] for each in (predictor, load_torch_predictor(folder)))
    assert len(expected) == len(found) > 0
    np.testing.assert_allclose(np.sort(found.scores), np.sort(expected.scores), atol=1e-5)


def test_exported_file_without_its_folder_is_an_error(folder: Path) -> None:
    (folder / "model.json").unlink()
    with pytest.raises(ModelError, match="not a model folder"):
        open_predictor(folder)


@pytest.mark.parametrize("name", [".", "../model", "../../build/model/"])
def test_relative_paths_of_a_folder_share_one_exported_file(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert onnx_path(Path(name)) == onnx_path(folder)
