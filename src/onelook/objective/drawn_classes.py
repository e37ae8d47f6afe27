"""Which identities a step's softmax is over, where there are too many for all of them."""

import numpy as np
import torch
from torch import Tensor

from onelook.objective.identities import NO_IDENTITY


def drawn_classes(identities: Tensor, count: int, share: float, rng: np.random.Generator) -> Tensor:
    """The identities of the faces, and others drawn to make up a share of all.

    An et al., Partial FC (ICCV workshops 2021): a tenth of the negatives teaches about as well as all. It
    is drawn from all identities at once, for any number of processes to draw the same.

    Args:
        identities: (n,) of the faces of all processes, `NO_IDENTITY` among them.
        count: of all identities.
        share: above 0, to 1. Where the faces have more identities than that, it is theirs alone.
        rng: the same in all processes that train together.

    Returns:
        (k,) int64, rising.
    """
    present = identities[identities != NO_IDENTITY].unique().numpy()
    ranks = rng.random(count, np.float32)
    ranks[present] = -1
    wanted = max(len(present), round(share * count))
    if wanted == count:
        return torch.arange(count)
    drawn = np.argpartition(ranks, wanted)[:wanted]
    return torch.from_numpy(np.sort(drawn))
