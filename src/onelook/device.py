"""The device that networks run on: its choice by name, and the copy of tensors to it.

torch is imported inside the functions: exported models run where torch is not installed.
"""

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from onelook.errors import OnelookError

if TYPE_CHECKING:
    import torch

    from onelook.settings.base import Precision

DEVICE_NAMES = "auto, cpu, cuda, cuda:N or mps"
"""Names of devices in settings and on the command line, for messages."""

Value = TypeVar("Value")


def resolve_device(name: str) -> "torch.device":
    """Return the device of a name; `auto` is CUDA where there is a card, else MPS, else the CPU.

    `cuda` without an index is the current card of the process.

    Raises:
        OnelookError: the name is unknown, or the device is not available.
    """
    import torch

    check_device_name(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "mps" and not torch.backends.mps.is_available():
        raise OnelookError("device mps: torch finds no Apple GPU; name device cpu")
    if not name.startswith("cuda"):
        return torch.device(name)
    _check_cuda(name)
    index = torch.device(name).index
    count = torch.cuda.device_count()
    if index is not None and index >= count:
        raise OnelookError(f"device {name}: there is no such card, the last one is cuda:{count - 1}; name that or cuda")
    return torch.device("cuda", torch.cuda.current_device() if index is None else index)


def rank_device(name: str, local_rank: int, processes: int) -> "torch.device":
    """Return the device of one of the training processes of a machine: a card each, or the CPU for all.

    Args:
        name: as in `resolve_device`.
        local_rank: number of the process on this machine, from 0.
        processes: number of processes on this machine.

    Raises:
        OnelookError: as in `resolve_device`, or the processes cannot have a card each.
    """
    import torch

    device = resolve_device(name)
    if processes == 1 or device.type == "cpu":
        return device
    if device.type == "mps":
        raise OnelookError(f"device mps: {processes} processes cannot share an Apple GPU; set train.processes: 1")
    if ":" in name:
        raise OnelookError(f"device {name}: {processes} processes need a card each; set base.device: cuda")
    if processes > torch.cuda.device_count():
        raise OnelookError(
            f"device {name}: {processes} processes need a card each, but there are {torch.cuda.device_count()}; "
            "lower train.processes, or set base.device: cpu"
        )
    return torch.device("cuda", local_rank)


def is_device_name(name: str) -> bool:
    """Return True for auto, cpu, cuda, cuda:N and mps."""
    return re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?|mps", name, re.ASCII) is not None


def check_device_name(name: str) -> None:
    """Check that a name is one of DEVICE_NAMES, without torch.

    Raises:
        OnelookError: it is not.
    """
    if not is_device_name(name):
        raise OnelookError(f"device {name!r}: unknown; name {DEVICE_NAMES}")


def describe_device(device: "torch.device") -> str:
    """Return the name of a device with that of its card, such as "cuda:0 NVIDIA H200"."""
    import torch

    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def half_precision(device: "torch.device") -> "Precision":
    """Return the 16-bit precision of a device: bfloat16, or float16 on a card without bfloat16 units."""
    import torch

    # torch.cuda.is_bf16_supported() is True for older cards, too, which emulate bfloat16 slowly.
    is_old = device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)
    return "float16" if is_old else "bfloat16"


def check_precision(precision: "Precision", device: "torch.device") -> None:
    """Check that a device computes in a precision.

    Raises:
        OnelookError: float16 on the CPU, or bfloat16 on a card without it.
    """
    if precision == "float16" and device.type == "cpu":
        raise OnelookError("precision float16: not for the CPU; name bfloat16 or float32")
    if precision == "bfloat16" and half_precision(device) == "float16":
        raise OnelookError(f"precision bfloat16: {describe_device(device)} lacks it; name float16 or float32")


def to_device(value: Value, device: "torch.device") -> Value:
    """Copy all tensors of a value to a device.

    The copy of CPU tensors to CUDA is non-blocking, from pinned memory. A value that is on the device is not copied.

    Args:
        value: a tensor, or dataclasses, named tuples, lists, tuples and dicts of tensors and other values.
        device: the target.
    """
    moved: Value = _map_tensors(lambda tensor: _move_tensor(tensor, device), value)
    return moved


def pin_memory(value: Value) -> Value:
    """Copy all tensors of a value on the CPU to pinned memory, from which `to_device` copies faster."""
    pinned: Value = _map_tensors(lambda tensor: tensor.pin_memory(), value)
    return pinned


def _map_tensors(function: Callable[["torch.Tensor"], "torch.Tensor"], value: Any) -> Any:
    import torch

    def apply(each: Any) -> Any:
        return _map_tensors(function, each)

    if isinstance(value, torch.Tensor):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: apply(getattr(value, field.name)) for field in fields(value)})
    if isinstance(value, dict):
        return {key: apply(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(apply, value))
    if isinstance(value, list | tuple):
        return type(value)(map(apply, value))
    return value


def _move_tensor(tensor: "torch.Tensor", device: "torch.device") -> "torch.Tensor":
    if tensor.device == device:
        return tensor
    uploads = tensor.device.type == "cpu"
    if uploads and device.type == "cuda":
        tensor = tensor.pin_memory()
    # On MPS, a non-blocking copy may read the memory after the program has changed it.
    return tensor.to(device, non_blocking=uploads and device.type != "mps")


def _check_cuda(name: str) -> None:
    """Check that torch can use a card.

    Raises:
        OnelookError: torch has no CUDA, or finds no card or no recent driver.
    """
    import torch

    if torch.cuda.is_available():
        return
    if not torch.backends.cuda.is_built():
        raise OnelookError(
            f"device {name}: torch {torch.__version__} is built without CUDA; install the CUDA build that "
            "https://pytorch.org/get-started/locally names for your driver, or name device cpu"
        )
    try:
        torch.cuda.init()
        problem = "torch finds no card"
    except (RuntimeError, AssertionError) as error:
        problem = " ".join(str(error).split()).partition(". ")[0]
    raise OnelookError(
        f"device {name}: {problem}; install a driver for CUDA {torch.version.cuda}, which this torch is built for, "
        "or name device cpu"
    )
