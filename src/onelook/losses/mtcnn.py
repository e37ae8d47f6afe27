"""MTCNN's losses (Zhang et al. 2016, section II): three tasks, each from its own sources of windows.

No result has a size that depends on the data, so a device never waits for the host.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from onelook.geometry.windows import WindowOutput

HARD_FRACTION = 0.7
"""Fraction of the windows of a batch, those of the largest classification loss, that train the classification."""


class TaskFactors(NamedTuple):
    """Factors of the tasks (the paper's alpha)."""

    classification: float
    box: float
    landmarks: float


TASK_FACTORS = (TaskFactors(1, 0.5, 0.5), TaskFactors(1, 0.5, 0.5), TaskFactors(1, 0.5, 1))
"""Of P-Net, R-Net and O-Net, as in the paper."""


class WindowTargets(NamedTuple):
    """Targets of n windows, and the tasks that each trains (the paper's beta).

    Attributes:
        is_face: (n,) bool.
        offsets: (n, 4), as in `onelook.geometry.windows.encode_offsets`.
        landmarks: (n, 10), as in `onelook.geometry.windows.encode_points`; NaN for a point without a label.
        trains_classification, trains_box, trains_landmarks: (n,) bool.
    """

    is_face: Tensor
    offsets: Tensor
    landmarks: Tensor
    trains_classification: Tensor
    trains_box: Tensor
    trains_landmarks: Tensor


def window_losses(output: WindowOutput, targets: WindowTargets, factors: TaskFactors) -> dict[str, Tensor]:
    """Compute the losses of windows by task, and as `total` their sum with the factors.

    - `classification`: cross-entropy of the hard windows.
    - `box`, `landmarks`: squared Euclidean distance of the offsets, and of the labeled points.

    Each is a mean over the windows that train the task, 0 where there are none.

    Args:
        output: for n windows of the network's size.
        targets: of the same windows.
        factors: of the tasks.
    """
    logits, offsets, landmarks = (each.flatten(1) for each in output)
    cross_entropy = functional.cross_entropy(logits, targets.is_face.long(), reduction="none")
    point_distances = (landmarks - targets.landmarks.nan_to_num()).square().where(targets.landmarks.isfinite(), 0)
    losses = {
        "classification": hard_mean(cross_entropy, targets.trains_classification),
        "box": _masked_mean((offsets - targets.offsets).square().sum(1), targets.trains_box),
        "landmarks": _masked_mean(point_distances.sum(1), targets.trains_landmarks),
    }
    total = sum(getattr(factors, name) * loss for name, loss in losses.items())
    return losses | {"total": torch.as_tensor(total)}


def hard_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean of the largest `HARD_FRACTION` of the losses (n,) in a mask (n,), rounded up."""
    count = (mask.sum() * HARD_FRACTION).ceil()
    ordered = losses.masked_fill(~mask, -1).sort(descending=True).values
    is_hard = torch.arange(len(losses), device=losses.device) < count
    return _masked_mean(ordered, is_hard)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return values.where(mask, 0).sum() / mask.sum().clip(min=1)
