"""Utilization and memory of the cards during a run, as MLflow's system metrics."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from onelook.experiment.mlflow_store import MlflowStore

if TYPE_CHECKING:
    import torch
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

SYSTEM_PREFIX = "system/"
"""Start of the names of MLflow's system metrics."""


def start_gpu_monitor(store: MlflowStore, run_id: str, device: "torch.device | None") -> "SystemMetricsMonitor | None":
    """Start the thread that logs the use of cards, processor, memory and disk every ten seconds.

    Args:
        store: the open store.
        run_id: the run to log to.
        device: that the run computes on; None: the CPU.

    Returns:
        The monitor to finish with the run; None if the device is no card, or nvidia-ml-py is not installed.
    """
    if device is None or device.type != "cuda" or find_spec("pynvml") is None:
        return None
    # mlflow.enable_system_metrics_logging() affects only runs of mlflow.start_run(), not those of a client.
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=store.uri)
    monitor.start()
    return monitor
