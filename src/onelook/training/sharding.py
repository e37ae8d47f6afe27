"""Replicated and sharded modules of distributed training.

Every process holds a shard of the class centers of a margin loss (Partial FC). All other modules are replicated, and
DistributedDataParallel keeps them equal.
"""

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.distributed import new_group
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from onelook.distributed import all_reduce_sum, gather_to_rank0, shard, world_size
from onelook.losses.margin import CombinedMarginLoss

State = dict[str, Any]
Losses = Callable[..., dict[str, Tensor]]


def replicated_modules(modules: nn.ModuleDict) -> nn.ModuleDict:
    """Return the modules that are equal in all processes."""
    return nn.ModuleDict(
        {name: module for name, module in modules.items() if not isinstance(module, CombinedMarginLoss)}
    )


class _LossModule(nn.Module):
    """A loss function and the modules it uses, as DistributedDataParallel needs them."""

    def __init__(self, compute_losses: Losses, modules: nn.ModuleDict) -> None:
        super().__init__()
        self.used_modules = modules
        self._compute_losses = compute_losses

    def forward(self, *batch: Any) -> dict[str, Tensor]:
        return self._compute_losses(*batch)


def wrap_ddp(compute_losses: Losses, modules: nn.ModuleDict) -> Losses:
    """Wrap a loss function so that backward averages the gradients over the processes.

    Args:
        compute_losses: maps a batch to losses by name.
        modules: the modules it uses; the sharded ones are left out of the average.

    Returns:
        The function itself in one process.
    """
    if world_size() == 1:
        return compute_losses
    # A 1x1 convolution has two equivalent strides; DDP warns where bucket and gradient differ in them.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    # The group of its own keeps DDP's reductions apart from those of batch norm, whose order relative to them is not
    # fixed. A batch may leave a head unused.
    return DistributedDataParallel(
        _LossModule(compute_losses, replicated_modules(modules)),
        process_group=new_group(),
        find_unused_parameters=True,
    )


def maybe_no_sync(compute_losses: Losses, *, sync: bool) -> AbstractContextManager[None]:
    """Return a context for forward and backward that skips the averaging of gradients unless `sync`."""
    if isinstance(compute_losses, DistributedDataParallel) and not sync:
        return compute_losses.no_sync()
    return nullcontext()


def clip_gradients(modules: nn.ModuleDict, max_norm: float) -> None:
    """Scale the gradients down to a norm of `max_norm`, computed over the shards of all processes."""
    norm = _gradient_norm(modules.parameters())
    if world_size() > 1:
        sharded = all_reduce_sum(_gradient_norm(_sharded_parameters(modules).values()).to(norm.device) ** 2)
        norm = (_gradient_norm(replicated_modules(modules).parameters()) ** 2 + sharded).sqrt()
    nn.utils.clip_grads_with_norm_(modules.parameters(), max_norm, norm)


def gather_state(modules: nn.ModuleDict, optimizer: Optimizer) -> tuple[State, State]:
    """Gather the state dicts of modules and optimizer.

    Every process must call it.

    Returns:
        Both state dicts: in rank 0 with the shards of all processes, in the others with their own.
    """
    module_state, optimizer_state = modules.state_dict(), optimizer.state_dict()
    _map_sharded_state(modules, optimizer, module_state, optimizer_state, gather_to_rank0)
    return module_state, optimizer_state


def load_state(modules: nn.ModuleDict, optimizer: Optimizer, module_state: State, optimizer_state: State) -> None:
    """Load state dicts of rank 0 that `gather_state` returned, for any number of processes.

    The dicts are modified.
    """
    _map_sharded_state(modules, optimizer, module_state, optimizer_state, _own_shard)
    modules.load_state_dict(module_state)
    optimizer.load_state_dict(optimizer_state)


def _map_sharded_state(
    modules: nn.ModuleDict,
    optimizer: Optimizer,
    module_state: State,
    optimizer_state: State,
    function: Callable[[Tensor], Tensor],
) -> None:
    """Apply a function to the sharded rows of the state dicts, in place."""
    parameters = list(chain.from_iterable(group["params"] for group in optimizer.param_groups))
    for name, parameter in _sharded_parameters(modules).items():
        module_state[name] = function(module_state[name])
        index = next(i for i, each in enumerate(parameters) if each is parameter)
        # The optimizer's state of a parameter has the shape of the parameter, except for the scalar step count.
        optimizer_state["state"][index] = {
            key: function(value) if isinstance(value, Tensor) and value.ndim else value
            for key, value in optimizer_state["state"].get(index, {}).items()
        }


def _sharded_parameters(modules: nn.ModuleDict) -> dict[str, nn.Parameter]:
    replicated = dict(replicated_modules(modules).named_parameters())
    return {name: parameter for name, parameter in modules.named_parameters() if name not in replicated}


def _own_shard(rows: Tensor) -> Tensor:
    own = shard(len(rows))
    return rows[own.start : own.stop].clone()


def _gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    norm: Tensor = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    return norm
