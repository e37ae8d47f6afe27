"""Softmax over classes that are split among processes, without any of them seeing the logits of another."""

import torch
from torch import Tensor
from torch.nn import functional

from onelook.together import highest, processes, summed


def cross_entropy(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mean over n faces of -log softmax at the true class, the same in all processes.

    An et al., Partial FC (ICCV workshops 2021): processes tell each other a face's largest logit, the sum
    of its exponentials and the true one, three numbers however many classes there are.

    Args:
        logits: (n, k), of this process's classes; it may have none.
        rows: (m,), the faces whose true class is among them, all n where one process has all classes.
        columns: (m,), which of them that is.
    """
    if processes() == 1:
        return functional.cross_entropy(logits, columns)
    true = summed(logits.new_zeros(len(logits)).index_put((rows,), logits[rows, columns]))
    largest = highest(torch.cat([logits, true[:, None]], dim=1).amax(1))
    total = summed((logits - largest[:, None]).exp().sum(1))
    return (total.log() + largest - true).mean()
