"""Sampling of a fixed number of anchors, so that the host does not wait for the device to count them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from onelook.distributed import all_gather, rank, world_size

# Exclusive upper limit of the keys, and of the positions that have different keys.
_NUM_KEYS = 2**31


class SampledAnchors(NamedTuple):
    """Anchors of a batch, padded to a fixed number.

    Attributes:
        images: (k,) int64, the index of each anchor's image.
        rows: (k,) int64, the index of the anchor in its image.
        valid: (k,) bool, False in the padding.
    """

    images: Tensor
    rows: Tensor
    valid: Tensor


def sample_anchors(mask: Tensor, budget: int, rng: np.random.Generator) -> SampledAnchors:
    """Sample anchors of a mask, without repetition: all, or `budget` of them over all processes if there are more.

    Every anchor has a pseudo-random key, a multiplicative hash of its position in the batch of all processes; those
    with the largest keys are sampled. So the sample does not depend on the number of processes.

    Args:
        mask: (B, n) bool, of the shard of this process.
        budget: largest number of anchors, 1 or more.
        rng: in the same state in every process.

    Returns:
        `budget` rows, padding included, or B n if that is less. On the CPU, where the host may read the mask, there
        is no padding.
    """
    # The product with an odd number is a bijection modulo a power of two.
    factor, offset = 2 * int(rng.integers(_NUM_KEYS // 2)) + 1, int(rng.integers(_NUM_KEYS))
    positions = torch.arange(mask.numel(), device=mask.device) + _count_before(mask)
    keys = torch.where(mask.flatten(), (positions * factor + offset) % _NUM_KEYS, -1)
    values, indices = keys.topk(min(budget, mask.numel()))
    valid = values >= 0
    if world_size() > 1:
        everywhere = all_gather(values)
        valid &= values >= everywhere.topk(min(budget, len(everywhere))).values[-1]
    if mask.device.type == "cpu":
        indices, valid = indices[valid], valid[valid]
    return SampledAnchors(indices.div(mask.shape[1], rounding_mode="floor"), indices % mask.shape[1], valid)


def _count_before(mask: Tensor) -> int:
    """Return the number of anchors of the processes before this one."""
    return int(all_gather(torch.tensor([mask.numel()]))[: rank()].sum())
