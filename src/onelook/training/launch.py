"""Launch of the training processes on this machine, as torchrun does it."""

import logging
import os
import sys
from uuid import uuid4

from torch.distributed import is_torchelastic_launched
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

_ENDPOINT = "localhost:0"  # any free port of this machine


def launch_processes(processes: int) -> bool:
    """Run this program again in `processes` processes, and wait for them.

    Does nothing under torchrun, or for one process. When a process fails, the others are stopped and this one exits
    with status 1; on Ctrl-C with status 130. The output of the processes is passed through.

    Returns:
        True where the program has run in other processes; False where it should run in this one.
    """
    if processes == 1 or is_torchelastic_launched():
        return False
    # The processes print their own errors; the launcher's tracebacks and DDP's warnings would repeat them.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        run_id=uuid4().hex,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint=_ENDPOINT,
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)(*sys.argv)
    except ChildFailedError:
        sys.exit(1)
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    return True
