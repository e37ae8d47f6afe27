"""What each process has a part of, and learns alone: the centers of identities.

All else is the same in all processes, and DistributedDataParallel keeps it so.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from onelook.distributed import all_reduce_count, gather_to_rank0, shard, world_size
from onelook.losses.margin import CombinedMarginLoss

State = dict[str, Any]


def replicated_modules(learned: nn.ModuleDict) -> nn.ModuleDict:
    """Those of the modules that are the same in all processes."""
    return nn.ModuleDict(
        {name: module for name, module in learned.items() if not isinstance(module, CombinedMarginLoss)}
    )


def clip_gradients(learned: nn.ModuleDict, largest: float) -> None:
    """Scale all gradients down to a norm of `largest`, in which the parts of all processes count."""
    norm = _norm(learned.parameters())
    if world_size() > 1:
        parts = all_reduce_count(float(_norm(_parts(learned).values())) ** 2)
        norm = (_norm(replicated_modules(learned).parameters()) ** 2 + parts).sqrt()
    nn.utils.clip_grads_with_norm_(learned.parameters(), largest, norm)


def gather_state(learned: nn.ModuleDict, optimizer: Optimizer) -> tuple[State, State]:
    """The state dicts of both, in the first process with the parts of all; every process must ask."""
    weights, steps = learned.state_dict(), optimizer.state_dict()
    _change(learned, optimizer, weights, steps, gather_to_rank0)
    return weights, steps


def load_state(learned: nn.ModuleDict, optimizer: Optimizer, weights: State, steps: State) -> None:
    """Go on from what `gather_state` gave the first of however many processes; the dicts are changed."""
    _change(learned, optimizer, weights, steps, _own)
    learned.load_state_dict(weights)
    optimizer.load_state_dict(steps)


def _change(
    learned: nn.ModuleDict, optimizer: Optimizer, weights: State, steps: State, change: Callable[[Tensor], Tensor]
) -> None:
    """Change the state dicts' rows of identities."""
    numbered = list(chain.from_iterable(group["params"] for group in optimizer.param_groups))
    for name, parameter in _parts(learned).items():
        weights[name] = change(weights[name])
        number = next(i for i, each in enumerate(numbered) if each is parameter)
        # What an optimizer keeps of a parameter has its shape, but for a count of steps.
        steps["state"][number] = {
            what: change(value) if isinstance(value, Tensor) and value.ndim else value
            for what, value in steps["state"].get(number, {}).items()
        }


def _parts(learned: nn.ModuleDict) -> dict[str, nn.Parameter]:
    same = dict(replicated_modules(learned).named_parameters())
    return {name: parameter for name, parameter in learned.named_parameters() if name not in same}


def _own(rows: Tensor) -> Tensor:
    own = shard(len(rows))
    return rows[own.start : own.stop].clone()


def _norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    norm: Tensor = nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
    return norm
