"""Forked processes: what OpenMP's threads need to survive them."""

import os
import sys
from functools import cache


@cache
def compute_alone_after_fork() -> None:
    """Let torch and FAISS compute with one thread in every process that is forked from this one.

    The threads of OpenMP do not exist in the child, which would wait for them forever. As the worker processes of
    torch's DataLoader do, it computes with its own thread alone.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_use_one_thread)


def _use_one_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(1)
