"""The same settings, the same bytes: what has to be fixed in the libraries for that."""

import cv2
import torch
import torch.utils.deterministic as deterministic

from onelook.settings import BaseSettings


def seed_everything(base: BaseSettings) -> None:
    """Seed torch, pin the number of threads (sums depend on it) and refuse operations without a fixed order."""
    torch.manual_seed(base.seed)
    torch.set_num_threads(base.threads)
    torch.use_deterministic_algorithms(True)
    # Filling memory that is about to be overwritten guards against bugs, not randomness, and costs a third of a step.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cv2.setNumThreads(base.threads)
