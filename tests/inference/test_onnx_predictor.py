"""Exported models in onnxruntime against the same weights in torch."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from helpers.onnx_faces import exported_faces
from helpers.portraits import group, portrait
from onelook.data.image_io import decode_image, read_image
from onelook.detections import Detections
from onelook.errors import ModelError
from onelook.gallery.gallery import create_gallery
from onelook.inference.onnx_predictor import OnnxPredictor
from onelook.inference.torch_predictor import TorchPredictor
from onelook.onnx_checksum import append_checksum
from onelook.settings import DetectSettings

DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=1280)


@pytest.fixture(scope="module")
def onnx_predictor(exported: Path) -> OnnxPredictor:
    return OnnxPredictor(exported)


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """Three people side by side, (336, 888, 3)."""
    return np.concatenate([portrait(2, 1), portrait(9, 3), portrait(17, 5)], axis=1)


def assert_detections_close(found: list[Detections], expected: list[Detections]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other)
        side = max(1.0, float(np.abs(other.boxes).max(initial=0)))
        for name in ("boxes", "landmarks"):
            np.testing.assert_allclose(getattr(one, name) / side, getattr(other, name) / side, atol=1e-5)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-4)
        assert [each.dtype for each in (one.boxes, one.scores, one.landmarks, one.embeddings)] == [np.float32] * 4


@pytest.mark.parametrize("factor", [0.3, 0.77, 1.0, 2.3, 4.1])
def test_faces_at_every_scale_match_torch(
    released: TorchPredictor, onnx_predictor: OnnxPredictor, people: np.ndarray, factor: float
) -> None:
    detect = DETECT.model_copy(update={"longest_side": 4000})
    image = cv2.resize(people, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    expected = released.predict([image], detect)
    assert len(expected[0]) >= 3
    assert_detections_close(onnx_predictor.predict([image], detect), expected)


def test_batches_of_mixed_sizes_match_torch(
    released: TorchPredictor, onnx_predictor: OnnxPredictor, people: np.ndarray
) -> None:
    wall = np.full((336, 888, 3), 90, np.uint8)
    images = [people, wall, people[:, ::-1].copy(), people[:301, :299], people[:33, :31], wall[:1, :1], people]
    expected = released.predict(images, DETECT)
    assert [len(each) for each in expected] == [3, 0, 3, 1, 0, 0, 3]
    assert_detections_close(onnx_predictor.predict(images, DETECT), expected)
    assert onnx_predictor.predict([], DETECT) == []


def test_faces_of_very_different_sizes_match_torch(released: TorchPredictor, onnx_predictor: OnnxPredictor) -> None:
    image = np.full((900, 1100, 3), 127, np.uint8)
    for x, side in ((0, 800), (820, 200), (1030, 60)):
        face = cv2.resize(portrait(5, 2), (side, side), interpolation=cv2.INTER_AREA)
        image[:side, x : x + side] = face
    expected = released.predict([image], DETECT)
    assert len(expected[0]) == 3
    assert_detections_close(onnx_predictor.predict([image], DETECT), expected)


def test_downscaled_images_match_torch(
    released: TorchPredictor, onnx_predictor: OnnxPredictor, people: np.ndarray
) -> None:
    detect = DETECT.model_copy(update={"longest_side": 501})
    assert_detections_close(onnx_predictor.predict([people], detect), released.predict([people], detect))


def test_thresholds_are_inputs_of_each_call(
    released: TorchPredictor, onnx_predictor: OnnxPredictor, people: np.ndarray
) -> None:
    detect = DetectSettings(score=0.02, nms=0.9, longest_side=1280)
    expected = released.predict([people], detect)
    assert len(expected[0]) > 20
    assert_detections_close(onnx_predictor.predict([people], detect), expected)


@pytest.mark.shared_data
def test_web_photos_match_torch(released: TorchPredictor, onnx_predictor: OnnxPredictor, shared_data: Path) -> None:
    files = sorted((shared_data / "scenes" / "images").iterdir())[::40][:12]
    images = [read_image(file) for file in files]
    detect = DETECT.model_copy(update={"longest_side": 640})
    expected = released.predict(images, detect)
    assert sum(map(len, expected)) > 10
    assert_detections_close(onnx_predictor.predict(images, detect), expected)


def test_gallery_accepts_the_exported_file_of_its_model(
    tmp_path: Path, exported: Path, released: TorchPredictor
) -> None:
    calibration = Path(released.source or "") / "calibration.json"
    gallery = create_gallery(tmp_path / "people", model=exported, calibration=calibration)
    for person in (1, 7):
        photo = tmp_path / f"{person}.png"
        photo.write_bytes(group((person, 1)))
        gallery.enroll(f"person {person}", [photo])
    faces = gallery.identify(decode_image(group((1, 3), (7, 4)), "group"))
    assert {face.name for face in faces} == {"person 1", "person 7"}
    assert gallery.metadata.fingerprint == released.fingerprint


def test_unusable_files_raise_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: missing; write it with `onelook export-model`"):
        OnnxPredictor(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"\x00broken")
    with pytest.raises(ModelError, match=r"broken\.onnx: no ONNX file"):
        OnnxPredictor(tmp_path / "broken.onnx")
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    a, b = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab")
    foreign = onnx.helper.make_model(
        onnx.helper.make_graph([node], "foreign", [a], [b]), opset_imports=[onnx.helper.make_opsetid("", 18)]
    )
    foreign.ir_version = 9
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match=r"foreign\.onnx: not written by `onelook export-model`"):
        OnnxPredictor(tmp_path / "foreign.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"`pip install onnxruntime`"):
        OnnxPredictor(tmp_path / "broken.onnx")


@pytest.mark.parametrize(
    "outputs",
    [
        {"embeddings": np.full((1, 16), np.nan, np.float32)},
        {"embeddings": np.ones((1, 7), np.float32)},
        {"embeddings": np.ones((2, 16), np.float32)},
        {"boxes": np.full((1, 4), np.inf, np.float32)},
        {"scores": np.ones((1, 1), np.float32)},
        {"landmarks": np.ones((1, 5, 2), np.float64)},
        {"images": np.full(1, 2**40)},
        {"images": np.full(1, -1)},
    ],
)
def test_outputs_that_are_not_those_of_faces_are_refused(tmp_path: Path, outputs: dict[str, np.ndarray]) -> None:
    file = tmp_path / "model.onnx"
    photo = np.zeros((32, 32, 3), np.uint8)
    file.write_bytes(append_checksum(exported_faces()))
    assert len(OnnxPredictor(file, "cpu").predict([photo], DETECT)[0]) == 1
    file.write_bytes(append_checksum(exported_faces(**outputs)))
    with pytest.raises(ModelError, match="its outputs are not those of faces; export the model again"):
        OnnxPredictor(file, "cpu").predict([photo], DETECT)


def test_a_graph_that_may_run_without_an_end_is_not_opened(tmp_path: Path) -> None:
    graph = onnx.load_from_string(exported_faces())
    graph.graph.node.append(onnx.helper.make_node("Loop", ["m", "c", "x"], ["y"]))
    (tmp_path / "loop.onnx").write_bytes(append_checksum(graph.SerializeToString()))
    with pytest.raises(ModelError, match=r"loop\.onnx: has a loop"):
        OnnxPredictor(tmp_path / "loop.onnx", "cpu")


@pytest.mark.parametrize("tag", [b"\x22", b"\xa2\x00", b"\xa2\x80\x00"])
@pytest.mark.parametrize("length", [b"\x04", b"\x84\x00", b"\x84\x80\x80\x80\x00"])
def test_a_loop_is_found_however_its_numbers_are_written(tmp_path: Path, tag: bytes, length: bytes) -> None:
    node = tag + length + b"Loop"
    graph = b"\x0a" + bytes([len(node)]) + node  # fields 1 of a graph and 7 of a model
    content = exported_faces() + b"\x3a" + bytes([len(graph)]) + graph
    assert "Loop" in {node.op_type for node in onnx.load_from_string(content).graph.node}
    (tmp_path / "loop.onnx").write_bytes(append_checksum(content))
    with pytest.raises(ModelError, match=r"loop\.onnx: has a loop"):
        OnnxPredictor(tmp_path / "loop.onnx", "cpu")


def test_too_little_memory_is_not_said_to_be_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").write_bytes(append_checksum(exported_faces()))
    predictor = OnnxPredictor(tmp_path / "model.onnx", "cpu")

    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")

    monkeypatch.setattr(predictor, "_session", Session())
    with pytest.raises(RuntimeError, match="bad_alloc"):
        predictor.predict([np.zeros((32, 32, 3), np.uint8)], DETECT)


def test_a_file_without_the_checksum_that_it_announces_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cut.onnx").write_bytes(exported_faces())
    with pytest.raises(ModelError, match=r"cut\.onnx: damaged \(its checksum is missing\)"):
        OnnxPredictor(tmp_path / "cut.onnx", "cpu")
    old = onnx.load_from_string(exported_faces())
    onnx.helper.set_model_props(old, {"fingerprint": "f" * 64, "embedding_size": "16"})
    onnx.save(old, tmp_path / "old.onnx")
    OnnxPredictor(tmp_path / "old.onnx", "cpu")
    assert "has no checksum" in caplog.text
