"""A second device for machines without one: `"pretend"`, whose tensors are computed on the CPU.

A tensor on it wraps a CPU tensor. Every operation on it passes `__torch_dispatch__`, which detects what CUDA refuses or
waits for, and where in the program that is:

- `mixed`: an operation on tensors of both devices. CUDA raises "Expected all tensors to be on the same device".
- `host`: values that are copied to the CPU (`.item()`, `float()`, `if tensor`, `.tolist()`, `.cpu()`). The CPU waits.
- `upload`: a blocking copy from pageable memory, also of lists as indices and by `torch.tensor(..., device=)`.
- `shape`: a result whose size depends on values (`nonzero`, boolean masks, `repeat_interleave`). The CPU waits.
- `order`: an operation that CUDA refuses under `torch.use_deterministic_algorithms(True)`.

Outside `watch`, mixed operations and `.numpy()` raise as with CUDA, and nothing is counted. The device is a PrivateUse1
backend in Python, an experimental interface of torch 2.9 and later.

Examples:
    >>> network.to("pretend")
    >>> with watch() as events:
    ...     step()
    >>> kinds(events)
    {'host': 1}
"""

import contextlib
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"

_OPERATION = "operation"
Event = tuple[str, str, str]
"""Kind, operation and line of the program."""

aten = torch.ops.aten

_DYNAMIC_SHAPES = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
}
# From the documentation of torch.use_deterministic_algorithms.
_NONDETERMINISTIC = {
    "grid_sampler_2d_backward",
    "upsample_bilinear2d_backward",
    "_upsample_bilinear2d_aa_backward",
    "upsample_bicubic2d_backward",
    "upsample_linear1d_backward",
    "_adaptive_avg_pool2d_backward",
    "reflection_pad2d_backward",
    "nll_loss2d_forward",
    "put_",
    "histc",
    "max_unpool2d",
    "kthvalue",
    "median",
}
_READS = {aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default, aten.item.default}
# CUDA accepts indices on the CPU, and copies them.
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
_COPIES = {
    aten.copy_.default,
    aten._to_copy.default,
    aten._copy_from.default,
    aten._copy_from_and_resize.default,
}
# Elementwise operations accept a CPU tensor without dimensions; these do not.
_WITHOUT_SCALARS = {
    aten.cat.default,
    aten.stack.default,
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.index_add.default,
    aten.scatter.src,
    aten.index_select.default,
    aten.searchsorted.Tensor,
}


class _DeviceModule:
    """The module of the device, as `torch.cuda` is CUDA's."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Ignore the seed: random numbers are drawn on the CPU."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


if torch._C._get_privateuse1_backend_name() != NAME:
    _setup_privateuseone_for_python_backend(NAME, backend_module=_DeviceModule())


_events: Counter[Event] | None = None


@contextlib.contextmanager
def watch() -> Iterator[Counter[Event]]:
    """Count the operations and events of the body; mixed operations are counted instead of refused."""
    global _events
    previous, _events = _events, Counter()
    try:
        yield _events
    finally:
        _events = previous


def kinds(events: Counter[Event]) -> dict[str, int]:
    """Sum the counts of events by kind, without plain operations."""
    totals: Counter[str] = Counter()
    for (kind, *_), count in events.items():
        totals[kind] += count
    totals.pop(_OPERATION, None)
    return dict(totals)


def count_operations(events: Counter[Event]) -> int:
    """Return the number of operations, but for copies: constants are copied to the device once per shape."""
    return sum(
        count for (kind, name, _), count in events.items() if kind == _OPERATION and name != str(aten.copy_.default)
    )


def _record(kind: str, operation: str) -> None:
    if _events is not None:
        _events[kind, operation, _program_line()] += 1


def _program_line() -> str:
    """Return the innermost line of the package in the call stack."""
    frames = [frame for frame in traceback.extract_stack() if "/src/onelook/" in frame.filename]
    if not frames:
        return "outside the package"
    return f"{frames[-1].filename.split('/src/onelook/')[1]}:{frames[-1].lineno}"


class PretendTensor(torch.Tensor):
    """A tensor on the device.

    Attributes:
        inner: the CPU tensor with its values.
    """

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "PretendTensor":
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
            requires_grad=False,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:  # type: ignore[override]
        return f"pretend({self.inner!r})"

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError(f"can't convert {NAME} device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        _record("host", "tolist")
        return self.detach().inner.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch.is_inference_mode_enabled():  # composite operations such as `to` arrive whole
            decomposed = func.decompose(*args, **kwargs)
            if decomposed is not NotImplemented:
                return decomposed
        if _events is not None:
            _events[_OPERATION, str(func), ""] += 1
        _check_operation(func, args, [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)])
        target = kwargs.get("device")
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        kwargs.pop("pin_memory", None)
        stays = target is None or torch.device(target).type == NAME
        if func is aten._to_copy.default:
            if not stays:
                _record("host", "cpu")
            elif not isinstance(args[0], PretendTensor) and not kwargs.get("non_blocking"):
                _record("upload", "to")
        if func is aten.copy_.default:
            if not isinstance(args[0], PretendTensor):
                _record("host", "copy_")
                args[0].copy_(_unwrap(args[1]))
                return args[0]
            non_blocking = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
            if not isinstance(args[1], PretendTensor) and args[1].ndim and not non_blocking:
                _record("upload", "copy_")
        out = func(*tree_map(_unwrap, args), **tree_map(_unwrap, kwargs))
        return _wrap_outputs(func, args, kwargs, out) if stays and func not in _READS else out


def _unwrap(value: Any) -> Any:
    return value.inner if isinstance(value, PretendTensor) else value


def _wrap_outputs(func: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """Wrap the outputs of an operation; an argument that was written to is returned itself."""
    written = {}
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[position] if position < len(args) else kwargs.get(argument.name)
            written |= {id(x.inner): x for x in tree_flatten(given)[0] if isinstance(x, PretendTensor)}

    def wrap(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or isinstance(value, PretendTensor):
            return value
        if id(value) in written:
            return written[id(value)]
        with torch.inference_mode(False):  # a view of a normal tensor must not be an inference tensor
            return PretendTensor(value)

    return tree_map(wrap, out)


def _check_operation(func: Any, args: Any, tensors: list[torch.Tensor]) -> None:
    operation = str(func).removeprefix("aten.")
    if func not in _COPIES:
        foreign = [x for x in tensors if not isinstance(x, PretendTensor)]
        if func in _INDEXING:
            foreign = foreign if not isinstance(args[0], PretendTensor) else []
        elif func not in _WITHOUT_SCALARS:
            foreign = [x for x in foreign if x.ndim]
        if foreign and _events is None:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found cpu and {NAME}: "
                f"{operation}, {_program_line()}"
            )
        if foreign:
            _record("mixed", operation)
    name = operation.split(".")[0]
    if name in _NONDETERMINISTIC or (name == "cumsum" and tensors[0].is_floating_point()):
        _record("order", name)
    if func in _READS:
        _record("host", name)
    elif func in _DYNAMIC_SHAPES and not (func is aten.repeat_interleave.Tensor and len(args) > 1):
        _record("shape", name)
    elif func in _INDEXING and any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]):
        _record("shape", f"{name} with a mask")


def _empty(
    size: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> PretendTensor:
    return PretendTensor(torch.empty(size, dtype=dtype, memory_format=memory_format or torch.contiguous_format))


def _empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None
) -> PretendTensor:
    return PretendTensor(torch.empty_strided(size, stride, dtype=dtype))


def _factory(name: str) -> Any:
    """Return a factory function such as `arange` that creates its result on the device."""
    function = torch.ops.aten
    for part in name.split("."):
        function = getattr(function, part)

    def create(
        *args: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None, **others: Any
    ) -> PretendTensor:
        return PretendTensor(function(*args, dtype=dtype, device="cpu", **others))  # type: ignore[operator]

    return create


def _copy_from(source: Any, target: Any, non_blocking: bool = False) -> Any:
    """Copy between devices, as `torch.tensor(..., device=)` does without `__torch_dispatch__`."""
    if not isinstance(source, PretendTensor) and not non_blocking:
        _record("upload", "tensor or list")
    _unwrap(target).copy_(_unwrap(source))
    return target


# Functions without a tensor among their arguments do not reach __torch_dispatch__.
_library = torch.library.Library("aten", "IMPL")
for _name in ("arange", "arange.start", "arange.start_step", "eye", "eye.m", "linspace", "randperm"):
    _library.impl(_name, _factory(_name if "." in _name else f"{_name}.default"), "PrivateUse1")
_library.impl("empty.memory_format", _empty, "PrivateUse1")
_library.impl("empty_strided", _empty_strided, "PrivateUse1")
_library.impl("_copy_from", _copy_from, "PrivateUse1")

# Autocast on the device changes no data type.
_autocast = torch.library.Library("_", "IMPL")
_autocast.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
