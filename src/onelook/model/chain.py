"""Layers that run one after the other, with nothing in between but oneDNN."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.model.fused_convolution import MOST_SIZES, DirectConvolution
from onelook.model.fused_layers import FusedResidual, Rounding
from onelook.model.onednn import Prepared

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

    The result of the chain, of a size and type, has a place of its own.
    """

    calls: list[tuple[Prepared, int, int]]
    starts: list[int]
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
        self._ready = lru_cache(MOST_SIZES)(self._prepare)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self._steps[0].layer.reads).contiguous(memory_format=torch.channels_last)
        ready = self._ready(x.shape)
        # A place for each result: were one made where another was read, the processor's cores would wait for each
        # other, whose parts of the two are not the same.
        between = torch.empty(ready.bytes, dtype=torch.uint8)
        result = torch.empty(ready.size, dtype=ready.dtype, memory_format=torch.channels_last)
        first = between.data_ptr()
        places = [x.data_ptr(), *(first + start for start in ready.starts)]
        places[self._steps[-1].result] = result.data_ptr()
        for call, source, target in ready.calls:
            call(places[source], places[target])
        return result

    def _prepare(self, size: torch.Size) -> _Ready:
        sizes: list[tuple[int, ...]] = [size]
        starts, end = [], 0
        calls = []
        for layer, source, result, adds in self._steps:
            call = layer.prepared(sizes[source], adds)
            calls.append((call, source, result))
            if result == len(sizes):
                sizes.append(call.size)
                starts.append(end)
                if result != self._steps[-1].result:
                    end += -(-prod(call.size) * call.dtype.itemsize // _LINE) * _LINE
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
