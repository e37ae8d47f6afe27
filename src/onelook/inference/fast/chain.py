"""Run consecutive layers as one chain of oneDNN primitives with planned intermediate memory."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onelook.inference.fast.convolution import OneDnnConv
from onelook.inference.fast.layers import CastDtype, FusedResidual
from onelook.inference.fast.onednn import PreparedPrimitive, cache_by_shape

ChainLayer = OneDnnConv | CastDtype
# Layers, and True if the last of them adds its output to the input of the first.
Block = tuple[list[ChainLayer], bool]

# Buffers start at multiples of a cache line, in bytes.
_CACHE_LINE = 64


class _Step(NamedTuple):
    """A layer with the indices of its input and output values.

    The input of the chain is value 0. Each output has the next index, except where it is accumulated into a value.
    """

    layer: ChainLayer
    source: int
    destination: int
    accumulate: bool


class ExecutionPlan(NamedTuple):
    """The primitives and the memory layout of a chain for one input shape.

    calls: primitives with the indices of their input and output values. offsets: of each intermediate value in a buffer
    of `buffer_bytes`. shape, dtype: of the output, which like the input is not in the buffer.
    """

    calls: list[tuple[PreparedPrimitive, int, int]]
    offsets: dict[int, int]
    buffer_bytes: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class PrimitiveChain(nn.Module):
    """Consecutive layers without torch in between: (B, in, H, W) -> (B, out, H / s, W / s), channels-last.

    Args:
        blocks: the layers.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer for layers, _ in blocks for layer in layers)
        self._steps = _number_values(blocks)
        self._plan = cache_by_shape(self.plan)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self._steps[0].layer.input_dtype).contiguous(memory_format=torch.channels_last)
        plan = self._plan(x.shape)
        buffer = torch.empty(plan.buffer_bytes, dtype=torch.uint8)
        output = torch.empty(plan.shape, dtype=plan.dtype, memory_format=torch.channels_last)
        base = buffer.data_ptr()
        addresses = {value: base + offset for value, offset in plan.offsets.items()}
        addresses |= {0: x.data_ptr(), self._steps[-1].destination: output.data_ptr()}
        for call, source, destination in plan.calls:
            call(addresses[source], addresses[destination])
        return output

    def plan(self, shape: torch.Size) -> ExecutionPlan:
        """Create the primitives for an input shape (B, in, H, W) and lay out the intermediate values."""
        shapes: list[tuple[int, ...]] = [shape]
        sizes = [0]
        calls = []
        for layer, source, destination, accumulate in self._steps:
            call = layer.primitive(shapes[source], accumulate)
            calls.append((call, source, destination))
            if destination == len(shapes):
                shapes.append(call.shape)
                sizes.append(prod(call.shape) * call.dtype.itemsize)
        offsets, end = _assign_offsets(_share_slots(self._steps), sizes)
        return ExecutionPlan(calls, offsets, end, call.shape, call.dtype)


def chain_layers(modules: Sequence[nn.Module]) -> nn.Sequential | PrimitiveChain:
    """Build a `PrimitiveChain` of consecutive modules, or `nn.Sequential` where a layer cannot be in a chain."""
    blocks = _flatten_blocks(modules)
    # A residual first block would accumulate into the chain's input, which belongs to the caller.
    return PrimitiveChain(blocks) if blocks and not blocks[0][1] else nn.Sequential(*modules)


def _flatten_blocks(modules: Iterable[nn.Module]) -> list[Block] | None:
    """Return the layers of consecutive modules, or None if one of them cannot be in a chain."""
    blocks: list[Block] = []
    for module in modules:
        if isinstance(module, nn.Identity):
            continue
        if isinstance(module, ChainLayer):
            blocks.append(([module], False))
            continue
        inner = module if isinstance(module, nn.Sequential) else getattr(module, "body", None)
        inner_blocks = None if inner is None else _flatten_blocks(inner)
        if inner_blocks is None:
            return None
        residual = isinstance(module, FusedResidual)
        blocks += [([layer for layers, _ in inner_blocks for layer in layers], True)] if residual else inner_blocks
    return blocks


def _number_values(blocks: Sequence[Block]) -> list[_Step]:
    """Return the layers as steps with numbered input and output values."""
    steps: list[_Step] = []
    current = count = 0
    for layers, residual in blocks:
        block_input = current
        for number, layer in enumerate(layers, start=1):
            accumulate = residual and number == len(layers)
            count += not accumulate
            destination = block_input if accumulate else count
            steps.append(_Step(layer, current, destination, accumulate))
            current = destination
    return steps


def _share_slots(steps: Sequence[_Step]) -> list[list[int]]:
    """Group intermediate values into slots whose values are never live at the same time."""
    last_use = {value: i for i, step in enumerate(steps) for value in (step.source, step.destination)}
    external = steps[0].source, steps[-1].destination
    slots: list[list[int]] = []
    for i, step in enumerate(steps):
        if step.accumulate or step.destination in external:
            continue
        slot = next((slot for slot in slots if last_use[slot[-1]] < i), None)
        if slot is None:
            slots.append([step.destination])
        else:
            slot.append(step.destination)
    return slots


def _assign_offsets(slots: Sequence[Sequence[int]], sizes: Sequence[int]) -> tuple[dict[int, int], int]:
    """Return the offset of each value, given all sizes in bytes, and the size of the buffer.

    Reused memory is still in the cache. The values of a slot are centered in it: each core computes its part of the
    rows, and centered rows of one core overlap those that the same core read before.
    """
    offsets: dict[int, int] = {}
    end = 0
    for slot in slots:
        slot_size = max(sizes[value] for value in slot)
        offsets |= {value: end + (slot_size - sizes[value]) // 2 // _CACHE_LINE * _CACHE_LINE for value in slot}
        end += -(-slot_size // _CACHE_LINE) * _CACHE_LINE
    return offsets, end
