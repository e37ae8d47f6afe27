"""Deterministic runs: the same settings give the same bytes."""

import os

import cv2
import torch
import torch.utils.deterministic as deterministic

from onelook.settings import BaseSettings


def seed_everything(base: BaseSettings) -> None:
    """Seed torch, set the thread counts and require deterministic algorithms.

    The number of threads is part of the result, because the order of summation depends on it.
    """
    # cuBLAS is deterministic only with a fixed workspace, which it reads when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(base.seed)
    torch.set_num_threads(base.threads)
    torch.use_deterministic_algorithms(True)
    # Filling uninitialized memory guards against bugs, not against randomness.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cv2.setNumThreads(base.threads)
