import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from helpers.recognizer import (
    MEAN,
    STD,
    normalize_crops,
    random_crops,
    random_weights,
    run_recognizer,
    write_recognizer,
)
from onelook.errors import ModelError
from onelook.model.recognizer import Recognizer
from onelook.settings import RecognizerSettings


def error_message(settings: RecognizerSettings) -> str:
    with pytest.raises(ModelError) as caught:
        Recognizer(settings)
    assert "\n" not in str(caught.value) and settings.path in str(caught.value)
    return str(caught.value)


def test_embeddings_are_the_normalized_sums_over_crop_and_mirror_image(tmp_path: Path) -> None:
    weights, crops = random_weights(), random_crops()
    recognizer = Recognizer(write_recognizer(tmp_path / "recognizer.onnx", weights))
    assert recognizer.dim == 8
    views = [
        functional.normalize(run_recognizer(weights, normalize_crops(view)).flatten(1))
        for view in (crops, crops[:, :, ::-1])
    ]
    expected = functional.normalize(torch.stack(views).sum(0))
    np.testing.assert_allclose(recognizer.embed(crops), expected.numpy(), atol=1e-4)


def test_a_free_batch_gives_the_embeddings_of_single_crops(tmp_path: Path) -> None:
    single = write_recognizer(tmp_path / "single.onnx", random_weights())
    model = onnx.load(single.path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.save(model, tmp_path / "free.onnx")
    free = RecognizerSettings(path=str(tmp_path / "free.onnx"), mean=MEAN, std=STD)
    crops = random_crops()
    np.testing.assert_allclose(Recognizer(free).embed(crops), Recognizer(single).embed(crops), atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", b"neither of the two formats"])
@pytest.mark.parametrize("suffix", [".onnx", ".tflite"])
def test_missing_or_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None, suffix: str) -> None:
    if suffix == ".tflite":
        pytest.importorskip("ai_edge_litert", reason="pip install 'onelook[mesh]'")
    path = tmp_path / f"recognizer{suffix}"
    if content is not None:
        path.write_bytes(content)
    assert "set teacher.path to a recognizer's" in error_message(RecognizerSettings(path=str(path)))


def test_another_size_is_refused_with_that_of_the_network(tmp_path: Path) -> None:
    settings = write_recognizer(tmp_path / "recognizer.onnx", random_weights())
    message = error_message(settings.model_copy(update={"size": 160}))
    assert "(1, 3, 112, 112); set teacher.size" in message


def test_without_its_interpreter_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert "pip install 'onelook[mesh]'" in error_message(RecognizerSettings(path="recognizer.tflite"))


@pytest.mark.shared_data
def test_a_tflite_recognizer_gives_the_same_for_an_image_and_its_mirror_image(shared_data: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="pip install 'onelook[mesh]'")
    path = shared_data / "weights/edgeface_xs_gamma06.tflite"
    recognizer = Recognizer(RecognizerSettings(path=str(path), mean=(127.5,) * 3, std=(127.5,) * 3))
    crops = random_crops()[:3]
    embeddings = recognizer.embed(crops)
    assert embeddings.shape == (3, recognizer.dim) == (3, 512)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(recognizer.embed(crops[:, :, ::-1]), embeddings, atol=1e-4)
    assert np.abs(embeddings @ embeddings.T - np.eye(3)).max() < 0.999


@pytest.mark.parametrize("bias", [np.nan, np.inf, 3e38])
def test_outputs_that_are_no_embeddings_are_refused(tmp_path: Path, bias: float) -> None:
    weights = random_weights()
    weights[-1] = (weights[-1][0], np.full_like(weights[-1][1], bias))
    assert "not finite" in error_message(write_recognizer(tmp_path / "recognizer.onnx", weights))


def test_a_network_that_cannot_be_run_is_refused_in_one_line(tmp_path: Path) -> None:
    settings = write_recognizer(tmp_path / "recognizer.onnx", random_weights())
    model = onnx.load(settings.path)
    del model.graph.output[:]  # onnxruntime opens it all the same
    onnx.save(model, settings.path)
    assert "cannot be run" in error_message(settings)
