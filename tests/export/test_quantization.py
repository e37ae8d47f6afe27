import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from helpers.portraits import group
from onelook.data.image_io import decode_image
from onelook.errors import ModelError
from onelook.export.onnx_writer import write_onnx
from onelook.export.quantization import read_calibration_images
from onelook.geometry.boxes import pairwise_iou
from onelook.inference.loading import load_torch_predictor
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.model_folder import RELEASED
from onelook.model.serialization import load_model
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)


@pytest.fixture(scope="module")
def predictor() -> TorchPredictor:
    return load_torch_predictor(RELEASED)


@pytest.fixture(scope="module")
def calibration_images(predictor: TorchPredictor, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Read three images of two people, one without a face, and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        (folder / f"{number}.png").write_bytes(group((number + 1, 1), (number + 11, 1)))
    gray = np.full((80, 80, 3), 128, np.uint8)
    (folder / "nobody.ppm").write_bytes(b"P6 80 80 255\n" + gray.tobytes())
    (folder / "text.png").write_text("no photo")
    return read_calibration_images(sorted(folder.iterdir()), predictor)


@pytest.fixture(scope="module")
def file(
    predictor: TorchPredictor, calibration_images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    written = tmp_path_factory.mktemp("int8") / "int8.onnx"
    write_onnx(written, load_model(RELEASED), predictor.fingerprint, calibration_images)
    return written


def test_calibration_images_are_the_photos_with_faces(calibration_images: list[np.ndarray]) -> None:
    assert [photo.shape for photo in calibration_images] == [(336, 592, 3)] * 3


def test_boxes_and_embeddings_are_close_to_float32(file: Path, predictor: TorchPredictor) -> None:
    exported = OnnxPredictor(file)
    assert (exported.fingerprint, exported.embedding_size) == (predictor.fingerprint, 128)
    images = [decode_image(group((person, 2), (person + 1, 2)), "photo") for person in (21, 31)]
    for found, expected in zip(exported.predict(images, DETECT), predictor.predict(images, DETECT), strict=True):
        assert len(found) == len(expected) == 2
        overlaps = pairwise_iou(expected.boxes, found.boxes)
        assert (overlaps.max(axis=1) > 0.9).all()
        similarities = expected.embeddings @ found.embeddings[overlaps.argmax(axis=1)].T
        assert (np.diag(similarities) > 0.95).all() and not np.allclose(np.diag(similarities), 1, atol=1e-4)


def test_batches_of_mixed_sizes(file: Path, calibration_images: list[np.ndarray]) -> None:
    wall = np.full((336, 592, 3), 90, np.uint8)
    images = [wall, calibration_images[0], wall[:1, :1], calibration_images[0][:, :301], wall[:33, :500], wall]
    assert [len(each) for each in OnnxPredictor(file).predict(images, DETECT)] == [0, 2, 0, 1, 0, 0]


def test_only_costly_convolutions_are_quantized(file: Path) -> None:
    graph = onnx.load(file).graph
    maker = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantized = {node.name for node in convolutions if maker.get(node.input[1], node).op_type == "DequantizeLinear"}
    assert all(part in " ".join(quantized) for part in ("/fpn/", "/context.0/", "/tail/", "/blocks.12/"))
    assert not [name for name in quantized if "/heads/" in name or "/stem/" in name or "/embedding/expand/" in name]
    depthwise = {node.name for node in convolutions if any(a.name == "group" and a.i > 1 for a in node.attribute)}
    assert depthwise and not depthwise & quantized
    assert {node.domain for node in graph.node} == {""}


def test_file_is_about_half_as_large(file: Path) -> None:
    assert 1.5e6 < file.stat().st_size < 0.6 * (RELEASED / "model.safetensors").stat().st_size


def test_missing_onnxruntime_names_the_extra_to_install(
    predictor: TorchPredictor, calibration_images: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"`pip install onnxruntime`"):
        write_onnx(tmp_path / "int8.onnx", load_model(RELEASED), predictor.fingerprint, calibration_images)
    assert not list(tmp_path.iterdir())
