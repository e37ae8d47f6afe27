"""Losses of landmark cascades. No result has a size that depends on the data."""

import torch
from torch import Tensor


def point_loss(estimates: Tensor, is_estimated: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean squared distance of the estimates of k networks from labels.

    Args:
        estimates: (n, k, 5, 2).
        is_estimated: (k, 5) bool, the points that each network estimates.
        labels: (n, 5, 2); NaN for a point without a label, which is left out.

    Returns:
        The sum over the networks of their means over labeled points; 0 for one without any.
    """
    is_labeled = labels.isfinite().all(-1)[:, None] & is_estimated  # (n, k, 5)
    distances = (estimates - labels.nan_to_num()[:, None]).square().sum(-1)
    sums = distances.where(is_labeled, 0).sum((0, 2))
    return (sums / is_labeled.sum((0, 2)).clip(min=1)).sum()


def start_points(labels: Tensor, predicted: Tensor, noise: Tensor) -> Tensor:
    """Return labels (n, 5, 2) moved by noise (n, 5, 2), and where a point has no label the predicted one."""
    is_labeled = labels.isfinite().all(-1, keepdim=True)
    return torch.where(is_labeled, labels.nan_to_num() + noise, predicted)
