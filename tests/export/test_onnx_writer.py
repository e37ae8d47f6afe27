from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.export.onnx_writer import write_onnx
from onelook.model.joint_network import JointNetwork


def test_export_is_deterministic_with_dynamic_axes_and_standard_operators(tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        torch.manual_seed(2)
        write_onnx(tmp_path / name, JointNetwork(light_model(tiny_embedding(8))).eval(), "f" * 64)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape) for each in session.get_inputs()] == [
        ("photos", ["batch", "height", "width", 3]),
        ("score", [1]),
        ("nms", [1]),
    ]
    assert [each.name for each in session.get_outputs()] == ["images", "boxes", "scores", "landmarks", "embeddings"]
    assert {each.domain for each in onnx.load(tmp_path / "one.onnx").graph.node} == {""}  # no custom operators


def test_grid_detector_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.architecture: grid cannot be exported"):
        write_onnx(tmp_path / "grid.onnx", JointNetwork(light_model(tiny_embedding(8), architecture="grid")), "")
    assert not list(tmp_path.iterdir())
