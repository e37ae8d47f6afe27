import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from onelook.data.annotate import upscale_image
from onelook.data.readers.orl import read_orl
from onelook.geometry.alignment import REFERENCE_LANDMARKS
from onelook.inference.fast import onednn
from onelook.inference.fast.chain import PrimitiveChain
from onelook.inference.fast.convolution import OneDnnConv
from onelook.inference.fast.network import optimize_for_inference
from onelook.inference.loading import load_torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model
from onelook.settings import DetectSettings, EmbeddingSettings, Precision, load_settings

REQUIRES_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 on this processor"
)


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"backbone": "resnet18", "pyramid_levels": "full", "cascade": "all", "mesh": True},
        {"backbone": "resnet50", "context": "none"},
        {"context": "modulated"},
        {"context": "rfe", "cascade": "selective"},
        {"architecture": "grid"},
        {"embedding": EmbeddingSettings(strides=(1, 4, 8, 16))},
    ],
    ids=str,
)
def test_float32_outputs_do_not_change(project: Path, configuration: dict) -> None:
    torch.manual_seed(0)
    settings = load_settings(project / "params.yaml").model
    head = settings.embedding.model_copy(update={"strides": (2, 4, 8, 16), "depths": (2, 2)})
    network = JointNetwork(settings.model_copy(update={"init": "random", "embedding": head, **configuration})).eval()
    images = torch.randint(0, 256, (2, 3, 96, 128), dtype=torch.uint8)
    faces = [torch.from_numpy(REFERENCE_LANDMARKS * scale + 10)[None].float() for scale in (0.6, 0.2)]
    with torch.inference_mode():
        before = network(images)
        embeddings = network.embed(before.feature_maps, faces)
        after = optimize_for_inference(network, "float32")(images.contiguous(memory_format=torch.channels_last))
        for one, other in zip(before.anchor_outputs, after.anchor_outputs, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
        torch.testing.assert_close(network.embed(after.feature_maps, faces), embeddings, rtol=1e-3, atol=1e-4)


@REQUIRES_BFLOAT16
def test_bfloat16_keeps_boxes_and_embeddings_close() -> None:
    portraits = read_orl().images
    photo = np.concatenate([upscale_image(portraits[i].read(), 2.0).image for i in (0, 55, 110)], axis=1)
    detect = DetectSettings(score=0.5, nms=0.4, longest_side=1280)
    exact, rounded = (
        load_torch_predictor(RELEASED, how).predict([photo], detect)[0] for how in ("float32", "bfloat16")
    )
    assert len(exact) == len(rounded) == 3
    order, same = (np.argsort(found.boxes[:, 0]) for found in (exact, rounded))
    sides = exact.boxes[order, 2] - exact.boxes[order, 0]
    assert (np.abs(exact.boxes[order] - rounded.boxes[same]).max(axis=1) < 0.05 * sides).all()
    assert ((exact.embeddings[order] * rounded.embeddings[same]).sum(axis=1) > 0.98).all()


@REQUIRES_BFLOAT16
def test_maps_are_bfloat16_and_outputs_float32() -> None:
    predictor = load_torch_predictor(RELEASED, "bfloat16")
    with torch.inference_mode():
        outputs = predictor.network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    pixels, *maps = outputs.feature_maps
    assert pixels.dtype == torch.float32 and {each.dtype for each in maps} == {torch.bfloat16}
    assert {each.dtype for each in (*outputs.anchor_outputs, *outputs.float_head_features())} == {torch.float32}
    assert all(a.shape[-1] == 2 * b.shape[-1] for a, b in pairwise(outputs.feature_maps))


@pytest.mark.skipif(not onednn.is_available(), reason="onelook[fast] is not installed")
@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=REQUIRES_BFLOAT16), "float32"])
def test_torch_alone_matches_onednn(precision: Precision) -> None:
    image = upscale_image(read_orl().images[0].read(), 2.0).image
    detect = DetectSettings(score=0.3, nms=0.4, longest_side=1280)
    expected = load_torch_predictor(RELEASED, precision).predict([image], detect)[0]
    with onednn.disabled():
        assert not onednn.is_available()
        predictor = load_torch_predictor(RELEASED, precision)
    assert not any(isinstance(module, (OneDnnConv, PrimitiveChain)) for module in predictor.network.modules())
    found = predictor.predict([image], detect)[0]
    assert len(expected) == len(found) == 1
    if precision == "float32":
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
        np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-4)
    else:
        assert (found.embeddings @ expected.embeddings.T).item() > 0.98


_HIDE_PACKAGE = """
import importlib.metadata, sys
import numpy as np
original = importlib.metadata.distribution
def distribution(name):
    if name == "onednn-cpu-gomp":
        raise importlib.metadata.PackageNotFoundError(name)
    return original(name)
importlib.metadata.distribution = distribution
from onelook.inference.fast import onednn
from onelook.inference.loading import load_torch_predictor
from onelook.model.model_folder import RELEASED
from onelook.settings import DetectSettings
assert not onednn.is_available()
image = np.load(sys.argv[1])
detect = DetectSettings(score=0.3, nms=0.4, longest_side=1280)
np.save(sys.argv[2], load_torch_predictor(RELEASED).predict([image], detect)[0].embeddings)
"""


def test_predictor_works_without_the_fast_extra(tmp_path: Path) -> None:
    image = upscale_image(read_orl().images[0].read(), 2.0).image
    np.save(tmp_path / "image.npy", image)
    files = str(tmp_path / "image.npy"), str(tmp_path / "embeddings.npy")
    subprocess.run([sys.executable, "-c", _HIDE_PACKAGE, *files], check=True)
    expected = TorchPredictor(load_model(RELEASED)).predict(
        [image], DetectSettings(score=0.3, nms=0.4, longest_side=1280)
    )[0]
    np.testing.assert_allclose(np.load(files[1]), expected.embeddings, atol=1e-4)
