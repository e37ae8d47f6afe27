"""Use of a card in a real MLflow store; the card is a stand-in for NVIDIA's library."""

import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from onelook.experiment.stage_run import stage_run
from onelook.settings import Settings

Runs = Callable[[], list[Any]]
CARD = torch.device("cuda:0")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for NVIDIA's library and torch's name of the card; sample ten times a second."""
    library = ModuleType("pynvml")
    library.__spec__ = ModuleSpec("pynvml", None)
    library.NVMLError = RuntimeError
    library.nvmlInit = lambda: None
    library.nvmlDeviceGetCount = lambda: 1
    library.nvmlDeviceGetHandleByIndex = lambda index: index
    library.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(used=3e9, total=12e9)
    library.nvmlDeviceGetUtilizationRates = lambda handle: SimpleNamespace(gpu=70)
    library.nvmlDeviceGetPowerUsage = lambda handle: 100
    library.nvmlDeviceGetEnforcedPowerLimit = lambda handle: 200
    monkeypatch.setitem(sys.modules, "pynvml", library)
    from mlflow.system_metrics.metrics import gpu_monitor

    monkeypatch.setattr(gpu_monitor, "pynvml", library, raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")


def test_the_use_of_a_card_is_logged_to_the_child_alone(
    card: None, settings: Settings, workspace: Path, runs: Runs
) -> None:
    with stage_run("evaluate", settings, inputs=[], outputs=[], device=CARD) as run:
        run.log_metrics({"rank1": 1.0})
        time.sleep(0.5)
    child, parent = sorted(runs(), key=lambda each: "stage" not in each.data.tags)
    assert child.data.tags["device"] == parent.data.tags["device"] == "cuda:0 NVIDIA H200"
    assert child.data.metrics["system/gpu_0_utilization_percentage"] == 70
    assert child.data.metrics["system/gpu_0_memory_usage_megabytes"] == 3000
    assert parent.data.metrics == {"evaluate/rank1": 1.0}


def test_without_nvidias_library_the_device_is_a_tag_alone(
    card: None, settings: Settings, workspace: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pynvml")
    with stage_run("evaluate", settings, inputs=[], outputs=[], device=CARD):
        time.sleep(0.3)
    assert [run.data.tags["device"] for run in runs()] == ["cuda:0 NVIDIA H200"] * 2
    assert [run.data.metrics for run in runs()] == [{}, {}]
