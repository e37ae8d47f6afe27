"""What processes that train together tell each other; one process alone says nothing, and its numbers stay as they are.

Each process has a part of the batch, the first the first, and computes losses whose mean over the processes is that of
the whole batch: DistributedDataParallel takes the mean of the gradients. Every process must ask the same questions in
the same order.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# The first process validates alone, and the others wait for it.
_PATIENCE = timedelta(hours=12)


@contextmanager
def process_group() -> Iterator[None]:
    """Meet the other processes that torchrun started, on this machine and others; alone without it."""
    if not dist.is_torchelastic_launched():
        yield
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0; only the first writes and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def all_reduce_count(count: float) -> float:
    """A count summed over the processes."""
    if world_size() == 1:
        return count
    counted = torch.tensor(count, dtype=torch.float64)
    dist.all_reduce(counted)
    return float(counted)


def loss_divisor(count: float) -> float:
    """What a process divides a sum by, for the mean over the processes to be the whole batch's sum per count.

    `count` is this process's; a whole batch without any counts as 1.
    """
    return max(1, all_reduce_count(count)) / world_size()


def shard(count: int) -> range:
    """Which of `count` things are this process's: as many as another's, or one more."""
    each, more = divmod(count, world_size())
    first = rank() * each + min(rank(), more)
    return range(first, first + each + (rank() < more))


def all_reduce_mean(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalars by name, the same names in all processes, each the mean over the processes."""
    if world_size() > 1:
        stacked = torch.stack([value.detach().double() for value in values.values()])
        dist.all_reduce(stacked)
        values = dict(zip(values, stacked / world_size(), strict=True))
    return {name: float(value.detach()) for name, value in values.items()}


def all_gather(rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes, those of the first first; gradients find their way back."""
    return rows if world_size() == 1 else _Gathered.apply(rows)


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of the values (of one shape) over the processes; gradients find their way back."""
    return values if world_size() == 1 else _Summed.apply(values)


def all_reduce_max(values: Tensor) -> Tensor:
    """The largest of the values (of one shape) in any process, which no gradient comes back from."""
    largest = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest


def gather_to_rank0(rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes, those of the first first, in the first; the others keep their own alone."""
    lengths = all_gather(torch.tensor([len(rows)])).tolist()
    if rank() > 0:
        dist.send(rows.contiguous(), 0)
        return rows
    parts = [rows, *(rows.new_empty(length, *rows.shape[1:]) for length in lengths[1:])]
    for source, part in enumerate(parts[1:], 1):
        dist.recv(part, source)
    return torch.cat(parts)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        counts = [torch.zeros((), dtype=torch.int64) for _ in range(world_size())]
        dist.all_gather(counts, torch.tensor(len(rows)))
        lengths = [int(count) for count in counts]
        context.lengths = lengths
        # Gloo gathers tensors of one shape.
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        return whole.split(context.lengths)[rank()]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        whole = values.contiguous().clone()
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        return whole
