"""Networks of every form as ONNX files, beside the same in torch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.export.onnx_graph import traced_anchors
from onelook.export.onnx_writer import write_onnx
from onelook.geometry.anchors import make_anchors
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.3, longest_side=320)
FORMS: dict[str, dict[str, Any]] = {
    "light": {},
    "full": {"pyramid_levels": "full", "fpn_channels": 16},
    "cascade": {"cascade": True, "fpn_channels": 16},
    "no context": {"context": "none", "fpn_channels": 16},
    "resnet": {"backbone": "resnet18", "fpn_channels": 16},
    "square": {"embedding": tiny_embedding(8, sampling="roi", extent=1.2)},
    "point": {"embedding": tiny_embedding(8, sampling="center", strides=(4, 8))},
}


def network(**changes: Any) -> JointNetwork:
    """One that finds something: its scores are spread around a half."""
    torch.manual_seed(2)
    made = JointNetwork(light_model(changes.pop("embedding", tiny_embedding(8)), **changes)).eval()
    heads = made.detector.heads if made.detector.second is None else made.detector.second.heads
    for convolution in heads.logits:
        torch.nn.init.normal_(convolution.weight, std=0.3)
    return made


@pytest.mark.parametrize("form", FORMS)
def test_every_form_looks_as_it_does_in_torch(form: str, tmp_path: Path) -> None:
    looker = TorchPredictor(network(**FORMS[form]))
    write_onnx(tmp_path / "model.onnx", looker.network, "f" * 64)
    exported = OnnxPredictor(tmp_path / "model.onnx")
    assert (exported.fingerprint, exported.embedding_size) == ("f" * 64, 8)
    # On noise no two scores are alike; of the full form's anchors more pass than are looked at.
    noise = np.random.default_rng(7).integers(0, 256, (240, 320, 3), np.uint8)
    photos = [noise if form == "full" else noise[:97, :113], noise[:65, :41], noise[:65, 41:82], noise[50:51, :1]]
    expected = looker.predict(photos, DETECT)
    assert len(expected[0]) > 3
    for told, wanted in zip(exported.predict(photos, DETECT), expected, strict=True):
        assert len(told) == len(wanted)
        # Of two scores that differ in the last digit either may come first.
        rows = np.abs(told.boxes - wanted.boxes[:, None]).sum(-1).argmin(axis=1) if len(told) else []
        assert len(set(rows)) == len(told)
        for name, error in (("boxes", 2e-3), ("scores", 1e-5), ("landmarks", 2e-3), ("embeddings", 1e-4)):
            np.testing.assert_allclose(getattr(told, name)[rows], getattr(wanted, name), atol=error, err_msg=name)
    nothing = DETECT.model_copy(update={"score": 1.0})
    assert [len(each) for each in exported.predict(photos, nothing)] == [0, 0, 0, 0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 64), (97, 250)])
@pytest.mark.parametrize("levels", ["light", "full"])
def test_anchors_are_those_of_the_detector(levels: str, height: int, width: int) -> None:
    made = network(levels=levels, pyramid=16)
    features = made(torch.zeros(1, 3, height, width)).features
    told = traced_anchors(made.detector.levels, features)
    torch.testing.assert_close(told, make_anchors(height, width, made.detector.levels), rtol=0, atol=0)


def test_the_same_network_gives_the_same_bytes_and_a_file_that_tells_free_sizes(tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        write_onnx(tmp_path / name, network(), "f" * 64)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape) for each in session.get_inputs()] == [
        ("photos", ["batch", "height", "width", 3]),
        ("score", [1]),
        ("nms", [1]),
    ]
    assert [each.name for each in session.get_outputs()] == ["images", "boxes", "scores", "landmarks", "embeddings"]
    assert {each.domain for each in onnx.load(tmp_path / "one.onnx").graph.node} == {""}  # nobody's own operators


def test_a_grid_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.form: grid cannot be exported"):
        write_onnx(tmp_path / "grid.onnx", JointNetwork(light_model(tiny_embedding(8), form="grid")), "")
    assert not list(tmp_path.iterdir())
