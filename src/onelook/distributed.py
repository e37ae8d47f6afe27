"""Collective operations of data-parallel training (torch.distributed): NCCL for tensors on cards, gloo on the CPU.

- Each process holds a shard of the batch, in the order of the ranks.
- A loss of a process is scaled so that its mean over the processes is the loss of the whole batch, because
  DistributedDataParallel averages gradients.
- Every process must call the same operations in the same order.
- Without a process group there is one process, and every operation returns its input.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from onelook.device import rank_device, resolve_device

# Rank 0 validates alone while the other processes wait in a collective operation.
_TIMEOUT = timedelta(hours=12)


@contextmanager
def process_group(device_name: str = "cpu") -> Iterator[torch.device]:
    """Join the process group that torchrun set up; without torchrun, there is one process.

    Args:
        device_name: as in `onelook.device.resolve_device`; processes on one machine have a card each.

    Yields:
        The device of this process.

    Raises:
        OnelookError: the device is unknown or not available, or there are fewer cards than processes.
    """
    if not dist.is_torchelastic_launched():
        yield resolve_device(device_name)
        return
    device = rank_device(device_name, int(os.environ["LOCAL_RANK"]), local_world_size())
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0; only rank 0 writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_world_size() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def shard(count: int) -> range:
    """Return the indices of this process out of `count`, in shards of equal size.

    Where `count` is not a multiple of the world size, the shards of the first ranks are longer by one.
    """
    size, remainder = divmod(count, world_size())
    start = rank() * size + min(rank(), remainder)
    return range(start, start + size + (rank() < remainder))


def all_reduce_count(count: float) -> float:
    """Sum a Python number over the processes, in float64."""
    if world_size() == 1:
        return count
    total = torch.tensor(count, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total)


def loss_divisor(count: Tensor) -> Tensor:
    """Compute the divisor that turns a sum of losses into a mean over the batch.

    Each process divides the sum over its shard by it; the mean over the processes is then the sum over the whole batch
    divided by the count over the whole batch.

    Args:
        count: scalar, the samples in the shard of this process. A total below 1 is replaced by 1.

    Returns:
        A floating-point scalar without gradient, float32 for a whole count.
    """
    total = count.detach()
    total = total if total.is_floating_point() else total.float()
    if world_size() > 1:
        total = total.clone()  # reduced in place
        dist.all_reduce(total)
    return total.clip(min=1) / world_size()


def all_reduce_mean(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Average scalars over the processes.

    Args:
        values: scalars by name, with the same names in every process and on one device, read in a single copy.
    """
    stacked = torch.stack([value.detach() for value in values.values()])
    if world_size() > 1:
        stacked = stacked.double()
        dist.all_reduce(stacked)
        stacked /= world_size()
    return dict(zip(values, stacked.tolist(), strict=True))  # the only read of a step by the host


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sum tensors of one shape over the processes; differentiable."""
    if world_size() == 1:
        return values
    total: Tensor = _AllReduceSum.apply(values)
    return total


class _AllReduceSum(torch.autograd.Function):
    """Sum over the processes. Every process uses the sum, so the gradient is the sum of the gradients of all."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _AllReduceSum.forward(ctx, gradient)


def all_reduce_max(values: Tensor) -> Tensor:
    """Return the elementwise maximum over the processes; not differentiable."""
    maximum = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(maximum, dist.ReduceOp.MAX)
    return maximum


def all_gather(rows: Tensor) -> Tensor:
    """Concatenate the rows (n, ...) of all processes in the order of the ranks; differentiable.

    The processes may have different numbers of rows. A collective all_gather needs equal ones, so zero-padded rows are
    summed instead; value and gradient are the same.
    """
    if world_size() == 1:
        return rows
    lengths = _row_counts(rows)
    before = sum(lengths[: rank()])
    after = sum(lengths) - before - len(rows)
    return all_reduce_sum(functional.pad(rows, (0, 0) * (rows.ndim - 1) + (before, after)))


def gather_to_rank0(rows: Tensor) -> Tensor:
    """Concatenate the rows (n, ...) of all processes in rank 0.

    Returns:
        All rows in rank 0, in the order of the ranks; in the other processes their own rows.
    """
    if world_size() == 1:
        return rows
    lengths = _row_counts(rows)
    if rank() > 0:
        dist.send(rows.contiguous(), 0)
        return rows
    received = [rows.new_empty(length, *rows.shape[1:]) for length in lengths[1:]]
    for source, part in enumerate(received, start=1):
        dist.recv(part, source)
    return torch.cat([rows, *received])


def _row_counts(rows: Tensor) -> list[int]:
    counts = [torch.zeros((), dtype=torch.int64) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor(len(rows)))
    return [int(count) for count in counts]
