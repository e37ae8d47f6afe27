import logging
import subprocess
import sys
from pathlib import Path

import pytest

from onelook.gallery.faiss_library import count_gpus, faiss

HAS_GPU_BUILD = "GPU" in faiss.get_compile_options().split()


def test_missing_faiss_names_the_package_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['faiss'] = None; from onelook.cli import main; main()"
    command = [sys.executable, "-c", program, "gallery", "--gallery", str(tmp_path / "gallery")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: galleries need FAISS (")
    assert line.endswith("; `pip install faiss-cpu`")


@pytest.mark.skipif(HAS_GPU_BUILD, reason="needs faiss-cpu")
def test_cpu_build_has_no_gpus_and_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    count_gpus.cache_clear()
    assert count_gpus() == 0
    assert caplog.messages == []


@pytest.mark.skipif(not HAS_GPU_BUILD or faiss.get_num_gpus() > 0, reason="needs faiss-gpu and no CUDA card")
def test_gpu_build_without_a_card_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    count_gpus.cache_clear()
    assert [count_gpus() for _ in range(2)] == [0, 0]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "on the CPU" in record.getMessage()
