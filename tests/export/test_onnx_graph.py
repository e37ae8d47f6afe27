"""Exported networks of every configuration against the same networks in torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.networks import light_model, tiny_embedding
from onelook.export.onnx_graph import make_traced_anchors
from onelook.export.onnx_writer import write_onnx
from onelook.geometry.anchors import make_anchors
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.3, longest_side=320)
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "light": {},
    "full": {"pyramid_levels": "full", "fpn_channels": 16},
    "cascade": {"cascade": "all", "fpn_channels": 16},
    "selective cascade": {"cascade": "selective", "fpn_channels": 16},
    "receptive field enhancement": {"context": "rfe", "fpn_channels": 16},
    "no context": {"context": "none", "fpn_channels": 16},
    "resnet": {"backbone": "resnet18", "fpn_channels": 16},
    "square": {"embedding": tiny_embedding(8, sampling="roi", extent=1.2)},
    "point": {"embedding": tiny_embedding(8, sampling="center", strides=(4, 8))},
}


def network(**changes: Any) -> JointNetwork:
    """Build a random network with detection scores around 0.5."""
    torch.manual_seed(2)
    made = JointNetwork(light_model(changes.pop("embedding", tiny_embedding(8)), **changes)).eval()
    heads = made.detector.heads if made.detector.cascade is None else made.detector.cascade.heads
    for convolution in heads.logits:
        torch.nn.init.normal_(convolution.weight, std=0.3)
    return made


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_onnx_predictor_matches_torch_predictor(configuration: str, tmp_path: Path) -> None:
    predictor = TorchPredictor(network(**CONFIGURATIONS[configuration]))
    write_onnx(tmp_path / "model.onnx", predictor.network, "f" * 64)
    exported = OnnxPredictor(tmp_path / "model.onnx")
    assert (exported.fingerprint, exported.embedding_size) == ("f" * 64, 8)
    # Noise gives distinct scores; with the full FPN more anchors pass the threshold than NMS accepts.
    noise = np.random.default_rng(7).integers(0, 256, (240, 320, 3), np.uint8)
    images = [
        noise if configuration == "full" else noise[:97, :113],
        noise[:65, :41],
        noise[:65, 41:82],
        noise[50:51, :1],
    ]
    expected = predictor.predict(images, DETECT)
    assert len(expected[0]) > 3
    for found, wanted in zip(exported.predict(images, DETECT), expected, strict=True):
        assert len(found) == len(wanted)
        # Of two scores that differ in the last digit either may come first.
        rows = np.abs(found.boxes - wanted.boxes[:, None]).sum(-1).argmin(axis=1) if len(found) else []
        assert len(set(rows)) == len(found)
        # The random second step of the selective cascade moves points far, and embeddings with them.
        embedding_error = 5e-4 if configuration == "selective cascade" else 1e-4
        for name, error in (("boxes", 2e-3), ("scores", 1e-5), ("landmarks", 2e-3), ("embeddings", embedding_error)):
            np.testing.assert_allclose(getattr(found, name)[rows], getattr(wanted, name), atol=error, err_msg=name)
    nothing = DETECT.model_copy(update={"score": 1.0})
    assert [len(each) for each in exported.predict(images, nothing)] == [0, 0, 0, 0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 64), (97, 250)])
@pytest.mark.parametrize("levels", ["light", "full"])
def test_traced_anchors_equal_the_anchors_of_the_detector(levels: str, height: int, width: int) -> None:
    made = network(pyramid_levels=levels, fpn_channels=16)
    features = made(torch.zeros(1, 3, height, width)).head_features
    found = make_traced_anchors(made.detector.levels, features)
    torch.testing.assert_close(found, make_anchors(height, width, made.detector.levels), rtol=0, atol=0)
