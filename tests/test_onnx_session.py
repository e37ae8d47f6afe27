import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from helpers.onnx_faces import exported_faces
from helpers.recognizer import random_weights, write_recognizer
from onelook.errors import ModelError, OnelookError
from onelook.onnx_session import CPU, CUDA, count_cards, open_session, select_provider

HAS_GPU_BUILD = CUDA in onnxruntime.get_available_providers()
CPU_BUILD = ["AzureExecutionProvider", CPU]
GPU_BUILD = ["TensorrtExecutionProvider", CUDA, CPU]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the file of a small recognizer."""
    return Path(write_recognizer(tmp_path / "recognizer.onnx", random_weights()).path)


@pytest.mark.parametrize(
    ("device", "available", "num_cards", "expected"),
    [
        ("auto", CPU_BUILD, 0, CPU),
        ("auto", GPU_BUILD, 0, CPU),
        ("auto", GPU_BUILD, 1, CUDA),
        ("cpu", GPU_BUILD, 1, CPU),
        ("mps", CPU_BUILD, 0, CPU),
        ("cuda", GPU_BUILD, 1, CUDA),
        ("cuda:1", GPU_BUILD, 2, CUDA),
    ],
)
def test_provider_by_device_build_and_cards(device: str, available: list[str], num_cards: int, expected: str) -> None:
    assert select_provider(device, available, num_cards) == expected


@pytest.mark.parametrize(
    ("device", "available", "num_cards", "message"),
    [
        ("cuda", CPU_BUILD, 0, r"^device cuda: this onnxruntime is built without CUDA; .* onnxruntime-gpu faiss-gpu`$"),
        ("cuda:1", GPU_BUILD, 0, "^device cuda:1: onnxruntime finds no NVIDIA driver or no card; install a driver"),
        ("cuda:2", GPU_BUILD, 2, "^device cuda:2: there is no such card, the last one is cuda:1"),
        ("gpu", GPU_BUILD, 1, "^device 'gpu': unknown; name auto, cpu"),
    ],
)
def test_a_named_card_that_is_missing_is_an_error(
    device: str, available: list[str], num_cards: int, message: str
) -> None:
    with pytest.raises(OnelookError, match=message):
        select_provider(device, available, num_cards)


@pytest.mark.skipif(HAS_GPU_BUILD, reason="needs the CPU build of onnxruntime")
def test_cpu_build_logs_its_provider_and_refuses_cuda(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "onelook")
    session = open_session(model, source="a recognizer", hint="")
    assert session.get_providers() == [CPU]
    assert caplog.messages == [f"a recognizer: runs on the CPU ({CPU})"]
    with pytest.raises(OnelookError, match="built without CUDA"):
        open_session(model, source="a recognizer", hint="", device="cuda")


@pytest.mark.skipif(not HAS_GPU_BUILD or count_cards() > 0, reason="needs onnxruntime-gpu and no CUDA card")
def test_gpu_build_without_a_card_warns_once(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    sessions = [open_session(model, source="a recognizer", hint="") for _ in range(2)]
    assert [session.get_providers() for session in sessions] == [[CPU]] * 2
    (message,) = caplog.messages
    assert message == "onnxruntime-gpu finds no NVIDIA driver or no card: ONNX models run on the CPU"


def test_mps_runs_on_the_cpu_with_a_warning(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert open_session(model, source="a recognizer", hint="", device="mps").get_providers() == [CPU]
    assert caplog.messages == ["onnxruntime does not run on MPS: ONNX models run on the CPU"]


def test_file_and_its_content_give_equal_outputs(model: Path) -> None:
    crop = np.random.default_rng(0).normal(size=(1, 3, 112, 112)).astype(np.float32)
    sessions = [open_session(content, source="", hint="", device="cpu") for content in (model, model.read_bytes())]
    first, second = (session.run(None, {session.get_inputs()[0].name: crop})[0] for session in sessions)
    np.testing.assert_array_equal(first, second)


def test_a_damaged_model_is_an_error_of_one_line_with_a_hint() -> None:
    with pytest.raises(ModelError, match=r"^somewhere: no ONNX file that onnxruntime can run; try another ") as caught:
        open_session(b"no graph", source="somewhere", hint="try another")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"embedding_size", b"embeddings", b"batch"])
def test_text_that_is_not_utf8_is_an_error_of_one_line(text: bytes) -> None:
    content = exported_faces()
    open_session(content, source="", hint="", device="cpu")
    with pytest.raises(ModelError, match=r"^somewhere: no ONNX file that onnxruntime can run; try another "):
        open_session(content.replace(text, b"\x80" * len(text)), source="somewhere", hint="try another", device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU_BUILD, reason="needs onnxruntime-gpu")
def test_card_gives_the_outputs_of_the_cpu(model: Path) -> None:
    assert count_cards() == torch.cuda.device_count()
    crop = np.random.default_rng(0).normal(size=(1, 3, 112, 112)).astype(np.float32)
    sessions = [open_session(model, source="", hint="", device=device) for device in ("cpu", "cuda", "auto")]
    assert [session.get_providers()[0] for session in sessions] == [CPU, CUDA, CUDA]
    expected, *found = (session.run(None, {session.get_inputs()[0].name: crop})[0] for session in sessions)
    for each in found:
        np.testing.assert_allclose(each, expected, rtol=1e-4, atol=1e-5)


def test_onnxruntime_writes_no_usage_data(model: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    program = (
        "import sys; from pathlib import Path; from onelook.onnx_session import open_session; "
        "open_session(Path(sys.argv[1]), source='it', hint='none')"
    )
    variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    variables |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    subprocess.run([sys.executable, "-c", program, str(model)], env=variables, check=True)
    # Where telemetry is on, an identifier and a queue of events are written below the home folder.
    assert list(home.rglob("*")) == []
