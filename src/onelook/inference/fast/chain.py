"""Layers that run one after the other, with nothing in between but oneDNN."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.inference.fast.convolution import DirectConvolution
from onelook.inference.fast.layers import FusedResidual, Rounding
from onelook.inference.fast.onednn import Prepared, kept_by_size

Link = DirectConvolution | Rounding
# Layers, and whether the last of them adds to what went into the first.
Block = tuple[list[Link], bool]

# Results begin at addresses that are multiples of it, which a processor fetches at once.
_LINE = 64


class _Step(NamedTuple):
    """A layer, the numbers of what it reads and of its result, and whether it adds to what is there.

    What goes into the chain is number 0, and each result has the next number but where it is added to one.
    """

    layer: Link
    source: int
    result: int
    adds: bool


class _Ready(NamedTuple):
    """A chain for inputs of one size: calls with numbers as in `_Step`, and where each result begins in so many bytes.

    What goes into the chain and what comes out, of a size and type, lie elsewhere.
    """

    calls: list[tuple[Prepared, int, int]]
    starts: dict[int, int]
    bytes: int
    size: tuple[int, ...]
    dtype: torch.dtype


class Chain(nn.Module):
    """(B, in, H, W) -> (B, out, H / s, W / s), its channels innermost in memory.

    Args:
        blocks: its layers.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.links = nn.ModuleList(layer for layers, _ in blocks for layer in layers)
        self._steps = _numbered(blocks)
        self._ready = kept_by_size(self._prepare)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self._steps[0].layer.reads).contiguous(memory_format=torch.channels_last)
        ready = self._ready(x.shape)
        between = torch.empty(ready.bytes, dtype=torch.uint8)
        result = torch.empty(ready.size, dtype=ready.dtype, memory_format=torch.channels_last)
        first = between.data_ptr()
        places = {number: first + start for number, start in ready.starts.items()}
        places |= {0: x.data_ptr(), self._steps[-1].result: result.data_ptr()}
        for call, source, target in ready.calls:
            call(places[source], places[target])
        return result

    def _prepare(self, size: torch.Size) -> _Ready:
        sizes: list[tuple[int, ...]] = [size]
        lengths = [0]
        calls = []
        for layer, source, result, adds in self._steps:
            call = layer.prepared(sizes[source], adds)
            calls.append((call, source, result))
            if result == len(sizes):
                sizes.append(call.size)
                lengths.append(prod(call.size) * call.dtype.itemsize)
        starts, end = _laid_out(_slots(self._steps), lengths)
        return _Ready(calls, starts, end, call.size, call.dtype)


def chained(modules: Sequence[nn.Module]) -> nn.Sequential | Chain:
    """The modules one after the other, as a `Chain` if all of their layers can be links of it."""
    blocks = _blocks(modules)
    # What goes into a chain is somebody else's, and nothing is added to it.
    return Chain(blocks) if blocks and not blocks[0][1] else nn.Sequential(*modules)


def _blocks(modules: Iterable[nn.Module]) -> list[Block] | None:
    """The layers of modules that run one after the other; None where one of them cannot be a link."""
    blocks: list[Block] = []
    for module in modules:
        if isinstance(module, nn.Identity):
            continue
        if isinstance(module, Link):
            blocks.append(([module], False))
            continue
        inner = module if isinstance(module, nn.Sequential) else getattr(module, "body", None)
        parts = None if inner is None else _blocks(inner)
        if parts is None:
            return None
        residual = isinstance(module, FusedResidual)
        blocks += [([layer for layers, _ in parts for layer in layers], True)] if residual else parts
    return blocks


def _numbered(blocks: Sequence[Block]) -> list[_Step]:
    steps: list[_Step] = []
    current = count = 0
    for layers, residual in blocks:
        before = current
        for place, layer in enumerate(layers, start=1):
            adds = residual and place == len(layers)
            count += not adds
            result = before if adds else count
            steps.append(_Step(layer, current, result, adds))
            current = result
    return steps


def _slots(steps: Sequence[_Step]) -> list[list[int]]:
    """The numbers of results that can lie in one piece of memory, as each is read before the next one is made."""
    last_used = {number: i for i, step in enumerate(steps) for number in (step.source, step.result)}
    outside = steps[0].source, steps[-1].result
    slots: list[list[int]] = []
    for i, step in enumerate(steps):
        if step.adds or step.result in outside:
            continue
        free = (slot for slot in slots if last_used[slot[-1]] < i)
        slot = next(free, None)
        if slot is None:
            slots.append([step.result])
        else:
            slot.append(step.result)
    return slots


def _laid_out(slots: Sequence[Sequence[int]], lengths: Sequence[int]) -> tuple[dict[int, int], int]:
    """Where each result begins, given the bytes of each by number, and the bytes of all.

    Memory used again is still in the cache. The results of a slot have their middles in one place: cores share out the
    rows of each, and would wait for each other if one made its own where the other had read.
    """
    starts: dict[int, int] = {}
    end = 0
    for slot in slots:
        room = max(lengths[number] for number in slot)
        starts |= {number: end + (room - lengths[number]) // 2 // _LINE * _LINE for number in slot}
        end += -(-room // _LINE) * _LINE
    return starts, end
