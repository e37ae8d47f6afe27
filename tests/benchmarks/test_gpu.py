"""Benchmark of a device: a run on the CPU, without the optional libraries, and without scenes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.painted_scenes import write_painted_scenes
from helpers.training_settings import PARAMS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with painted scenes and a params.yaml for one thread."""
    root = tmp_path_factory.mktemp("workspace")
    write_painted_scenes(root / "build/scenes")
    params = yaml.safe_load(PARAMS.read_text())
    params["base"]["threads"] = 1
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=ONE_THREAD, capture_output=True, text=True)


def read_tables(output: str) -> list[list[dict[str, str]]]:
    """Return the rows of each Markdown table, by column."""
    tables = []
    for block in output.split("\n\n"):
        if block.startswith("|"):
            columns, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines())
            tables.append([dict(zip(columns, row, strict=True)) for row in rows])
    return tables


def number(cell: str) -> float:
    return float(cell.split()[0].rstrip("%").replace(",", ""))


def test_a_quick_run_on_the_cpu_prints_all_rows(workspace: Path) -> None:
    pytest.importorskip("faiss")
    pytest.importorskip("onnxruntime")
    done = run(workspace, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--quick")
    assert done.returncode == 0, done.stderr
    peaks, training, prediction, search = read_tables(done.stdout)
    assert len(peaks) == 2 and all(number(row["measured"]) > 0 for row in peaks)
    assert [row["network"].partition(":")[0] for row in training] == ["light"] * 2 + ["full"] * 2
    assert [row["precision"] for row in training] == ["float32", "bfloat16"] * 2
    for row in training:
        rates = ("resident, images/s", "loader, images/s", "operations a step", "share of the roofline")
        assert all(number(row[column]) > 0 for column in rates), row
        assert 0 <= number(row["waiting for the loader"]) < 100
        assert row["peak memory, GB"] == row["waits a step"] == "–"
    assert [row["photos a batch"] for row in prediction] == ["1", "8"] * 2
    assert all(number(row["photos/s"]) > 0 and number(row["ms a photo"]) > 0 for row in prediction)
    assert [row["faces"] for row in prediction[:2]] == [row["faces"] for row in prediction[2:]]
    assert [row["index on the CPU"] for row in search] == ["flat", "flat"]
    assert all(number(row["search, ms"]) > 0 and row["CPU / card"] == "–" for row in search)


def test_parts_without_their_libraries_are_left_out(workspace: Path) -> None:
    program = f"""
import sys
from pathlib import Path
sys.path.append({str(BENCHMARKS)!r})
sys.modules |= dict.fromkeys(("faiss", "onnx", "onnxruntime", "mlflow", "dvc"))
import torch, gpu, gpu_prediction, gpu_search
for part in (
    gpu_prediction.measure_library("onnxruntime", gpu_prediction.open_exported, [], torch.device("cpu"), True),
    gpu_search.measure(torch.device("cpu"), small=True),
):
    for row in part:
        print(row)
"""
    done = run(workspace, "-c", program)
    assert done.returncode == 0, done.stderr
    exported, search = done.stdout.splitlines()
    assert "onnxruntime" in exported and "left out: " in exported
    assert "left out: galleries need FAISS" in search and "pip install" in search


def test_absent_scenes_are_an_error_of_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, str(BENCHMARKS / "gpu.py"), "--device", "cpu")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "build/scenes: no training scenes; run `make repro`, or name a folder of scenes with --scenes\n"
    )
