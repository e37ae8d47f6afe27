"""The losses of a step, in one process or as one of several that train together."""

import warnings
from contextlib import AbstractContextManager, nullcontext

from torch import Tensor, nn
from torch.distributed import new_group
from torch.nn.parallel import DistributedDataParallel

from onelook.data.batches import Batch
from onelook.data.faces import FaceBatch
from onelook.objective.balance import TaskBalance
from onelook.together import processes
from onelook.training.losses import TaskLosses


class StepLosses(nn.Module):
    """The losses of scenes and faces by name, with their weighted sum as `total`.

    Args:
        learned: all that has parameters which are the same in all processes, the balance among it.
        losses: of the tasks, over the same modules.
    """

    def __init__(self, learned: nn.ModuleDict, losses: TaskLosses, balance: TaskBalance) -> None:
        super().__init__()
        self.learned = learned
        self._losses = losses
        self._balance = balance

    def forward(self, scenes: Batch | None, faces: FaceBatch | None, epoch: int, batch: int) -> dict[str, Tensor]:
        """`epoch` and `batch`, its number within the epoch, both from 0, choose what is random."""
        losses: dict[str, Tensor] = {}
        if scenes is not None:
            losses |= self._losses.of_scenes(scenes, epoch, batch)
        if faces is not None:
            losses |= self._losses.of_faces(faces, epoch, batch)
        return losses | {"total": self._balance(losses)}


def shared(losses: StepLosses) -> StepLosses | DistributedDataParallel:
    """The same losses, whose gradients are the mean over the processes where there are several."""
    if processes() == 1:
        return losses
    # A 1x1 kernel's strides can be told in two ways: copying one into the other is no matter.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # A group of its own: while it sums gradients, batch norms sum theirs, and the two may come in any order. A batch
    # may leave a head unused.
    return DistributedDataParallel(losses, process_group=new_group(), find_unused_parameters=True)


def keeping_gradients(losses: StepLosses | DistributedDataParallel, whole: bool) -> AbstractContextManager[None]:
    """Around forward and backward: processes exchange their gradients only when those of a step are `whole`."""
    return losses.no_sync() if isinstance(losses, DistributedDataParallel) and not whole else nullcontext()
