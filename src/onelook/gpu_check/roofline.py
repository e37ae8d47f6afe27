"""The roofline of a device (Williams et al., CACM 2009): measured peaks, and the time that they allow an operation.

An operation takes at least the time of its floating-point operations at the peak of matrix products, and that of its
bytes at the peak of copies. The bytes are those of its inputs and outputs, as torch runs operations one by one.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

PRODUCT_SIZE = 8192
"""Side of the square matrices whose product is timed."""
COPY_BYTES = 2**30
"""Size of the copy that is timed."""
_REPEATS = 10


class Peaks(NamedTuple):
    """Measured peaks of a device.

    Attributes:
        flops: floating-point operations per second of a matrix product in 16 bits.
        bytes: bytes read and written per second by a copy.
    """

    flops: float
    bytes: float


class Work(NamedTuple):
    """Operations of a function, and their work.

    Attributes:
        operations: number of operations that torch starts.
        flops: floating-point operations of convolutions and matrix products.
        bytes: bytes of all inputs and outputs.
        seconds: time that the roofline allows, the sum over the operations.
    """

    operations: int
    flops: float
    bytes: float
    seconds: float


def measure_peaks(
    device: torch.device, dtype: torch.dtype, size: int = PRODUCT_SIZE, copy_bytes: int = COPY_BYTES
) -> Peaks:
    """Time a product of `size` x `size` matrices of `dtype`, and a copy of `copy_bytes` within the memory."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    source = torch.empty(copy_bytes, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product_seconds = time_on_device(lambda: torch.mm(a, b), device)
    copy_seconds = time_on_device(lambda: target.copy_(source), device)
    return Peaks(2 * size**3 / product_seconds, 2 * copy_bytes / copy_seconds)


def time_on_device(function: Callable[[], Any], device: torch.device, repeats: int = _REPEATS) -> float:
    """Return the seconds of a call, the mean of `repeats` calls after one, until the device has finished."""
    function()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    synchronize(device)
    return (time.perf_counter() - start) / repeats


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished; the CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def count_work(function: Callable[[], Any], peaks: Peaks) -> Work:
    """Run a function and count its operations, their work, and the time that the roofline allows."""
    with _WorkCounter(peaks) as counter:
        function()
    return Work(counter.operations, counter.flops, counter.bytes, counter.seconds)


class _WorkCounter(TorchDispatchMode):
    def __init__(self, peaks: Peaks) -> None:
        super().__init__()
        self.peaks = peaks
        self.operations = 0
        self.flops = self.bytes = self.seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
        if not func.is_view and func != torch.ops.aten._unsafe_view.default and tensors:
            flops = _count_flops(func, args, kwargs or {}, result)
            num_bytes = sum(each.nbytes for each in {id(each): each for each in tensors}.values())
            self.operations += 1
            self.flops += flops
            self.bytes += num_bytes
            self.seconds += max(flops / self.peaks.flops, num_bytes / self.peaks.bytes)
        return result


def _count_flops(func: Any, args: Any, kwargs: Any, result: Any) -> float:
    if func == torch.ops.aten.convolution_backward.default:
        return _count_convolution_backward(*args)
    formula = flop_registry.get(func.overloadpacket)
    return 0 if formula is None else formula(*args, **kwargs, out_val=result)


def _count_convolution_backward(gradient: Any, x: Any, weight: Any, *others: Any) -> float:
    """Count the gradients of input and weight, each as the forward pass.

    torch's own count multiplies the weight gradient of a depthwise convolution by its channels.
    """
    *_, transposed, _, _, mask = others
    forward = 2 * (x if transposed else gradient).numel() * weight[0].numel()
    return float(forward * sum(mask[:2]))
