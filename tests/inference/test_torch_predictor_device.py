"""Prediction on a device other than the CPU, here the pretended one, equals that on the CPU."""

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from helpers.networks import light_model, tiny_embedding, upright_faces
from helpers.pretend import kinds, watch
from onelook.detections import Detections
from onelook.errors import OnelookError
from onelook.gpu_check.inference_check import without_tf32
from onelook.inference import orientation, torch_predictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.joint_network import JointNetwork
from onelook.settings import DetectSettings, Precision

DETECT = DetectSettings(score=0.3, nms=0.4, longest_side=96)
DEVICES = ["pretend", pytest.param("cuda", marks=pytest.mark.gpu)]
FORMS: dict[str, dict[str, Any]] = {
    "light": {},
    "full": {"pyramid_levels": "full", "cascade": "all", "mesh": True, "dense": True},
    "deformable": {"context": "modulated"},
    "grid": {"architecture": "grid"},
}


def make_predictors(form: str, device: str = "pretend") -> tuple[TorchPredictor, TorchPredictor]:
    """Return predictors of one network on the CPU and on another device."""
    torch.manual_seed(0)
    network = JointNetwork(light_model(tiny_embedding(8), fpn_channels=16, **FORMS[form])).eval()
    if network.dense is not None:
        decoder = network.dense.decoder
        decoder.set_morphable_model(
            torch.randn_like(decoder.mean), torch.randn_like(decoder.components), torch.rand_like(decoder.std)
        )
    return TorchPredictor(network), TorchPredictor(copy.deepcopy(network).to(device))


@pytest.fixture(autouse=True)
def full_float32() -> Iterator[None]:
    """Turn TF32 off, in which cards since Ampere convolve."""
    with without_tf32():
        yield


@pytest.fixture(autouse=True)
def without_turned_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust no landmarks: those of a random network lie on all sides, and merging the copies amplifies rounding."""
    monkeypatch.setattr(orientation, "_CERTAIN_SCORE", 2.0)


def noise(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


def assert_equal(found: Detections, expected: Detections) -> None:
    assert len(found) == len(expected) > 0
    # Faces whose scores differ by rounding may change places.
    order = np.abs(found.boxes - expected.boxes[:, None]).sum(2).argmin(1)
    assert sorted(order) == list(range(len(found)))
    for name in ("boxes", "scores", "landmarks", "embeddings", "meshes"):
        values, wanted = getattr(found, name), getattr(expected, name)
        if wanted is None:
            assert values is None
        else:
            assert values.shape == wanted.shape and values.dtype == wanted.dtype == np.float32
            np.testing.assert_allclose(values[order], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", FORMS)
def test_detections_equal_those_on_the_cpu(form: str, device: str) -> None:
    on_cpu, on_device = make_predictors(form, device)
    images = noise((64, 96), (96, 64), (64, 96), (96, 96))
    if form == "deformable":  # takes seconds a batch
        images = images[:1]
    # The random grid network has no face of a higher score.
    detect = DETECT.model_copy(update={"score": 0.3}) if form == "grid" else DETECT
    for found, expected in zip(on_device.predict(images, detect), on_cpu.predict(images, detect), strict=True):
        assert_equal(found, expected)
    without = on_device.predict(images[:1], detect, embed=False)[0]
    assert len(without) > 0 and without.embeddings.shape == (len(without), 0)
    strict = DETECT.model_copy(update={"score": 0.999})
    assert [len(each) for each in on_device.predict(images[:1], strict)] == [0]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("form", ["light", "grid"])
def test_embeddings_at_given_landmarks_equal_those_on_the_cpu(form: str, device: str) -> None:
    on_cpu, on_device = make_predictors(form, device)
    (image,) = noise((64, 96))
    faces = upright_faces((10, 10, 40), (50, 5, 30)).numpy()
    np.testing.assert_allclose(on_device.embed(image, faces, DETECT), on_cpu.embed(image, faces, DETECT), atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_dense_faces_equal_those_on_the_cpu(device: str) -> None:
    on_cpu, on_device = make_predictors("full", device)
    (image,) = noise((64, 96))
    boxes, faces = on_device.predict_dense(image, DETECT)
    expected_boxes, expected_faces = on_cpu.predict_dense(image, DETECT)
    assert len(boxes) > 0
    torch.testing.assert_close(boxes, expected_boxes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(faces, expected_faces, rtol=1e-4, atol=1e-3)


def test_detections_do_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    _, on_device = make_predictors("light")
    images = noise(*[(64, 96)] * 3, (96, 64), (64, 96))
    together = on_device.predict(images, DETECT)
    monkeypatch.setattr(torch_predictor, "_MAX_BATCH_PIXELS", 2 * 64 * 96)
    in_pairs = TorchPredictor(on_device.network).predict(images, DETECT)
    for i, image in enumerate(images):
        (alone,) = on_device.predict([image], DETECT)
        assert_equal(together[i], alone)
        assert_equal(in_pairs[i], alone)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_device_computes_in_16_bits(precision: Precision) -> None:
    on_cpu, on_device = make_predictors("light")
    # Autocast changes no data type on the pretended device.
    half = TorchPredictor(on_device.network, precision=precision)
    (image,) = noise((64, 96))
    assert_equal(half.predict([image], DETECT)[0], on_cpu.predict([image], DETECT)[0])
    with pytest.raises(OnelookError, match="precision float16: not for the CPU"):
        TorchPredictor(on_cpu.network, precision="float16")


def test_the_number_of_waits_does_not_depend_on_the_number_of_images() -> None:
    _, on_device = make_predictors("light")
    waits = []
    for count in (2, 6):
        with watch() as events:
            on_device.predict(noise(*[(64, 96)] * count), DETECT, embed=False)
        assert "mixed" not in kinds(events) and "upload" not in kinds(events), events
        waits.append(Counter({kind: kinds(events).get(kind, 0) for kind in ("host", "shape")}))
    assert waits[0] == waits[1]
    # The number of candidates, the number of faces and the faces; again for the turned previews, as no face is certain.
    assert waits[0] == Counter(host=6, shape=0)
