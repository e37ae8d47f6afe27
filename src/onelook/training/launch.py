"""Starting the processes that train together on this machine, as torchrun does."""

import logging
import os
import sys
from uuid import uuid4

from torch.distributed import is_torchelastic_launched
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

_NEAR = "localhost:0"  # any free port of this machine


def launch_processes(processes: int) -> bool:
    """Whether this call has run the program again in so many processes, to its end; else this is where it runs.

    Under torchrun, and for one process, nothing is started. What each process prints is seen; when one fails the others
    are stopped and this one exits with 1, on Ctrl-C with 130.
    """
    if processes == 1 or is_torchelastic_launched():
        return False
    # The processes tell what went wrong themselves; that a step used every head is nothing to be warned of.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        run_id=uuid4().hex,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint=_NEAR,
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
