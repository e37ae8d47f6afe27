"""oneDNN called as it is, for what torch's way to it costs: a convolution is prepared once for each size of its input.

Torch asks oneDNN to prepare a convolution anew at every call, and finds by a search that it has been done before. For
the small convolutions of a look that took as long as their arithmetic. The library comes out of a package of its own,
for torch keeps the one inside it to itself; where that package is not installed, as on other systems than Linux on
x86-64, torch is asked (`onelook.inference.fast.layers`).

Numbers are those of oneDNN's C interface, version 3 (`dnnl_types.h`).
"""

import ctypes
from collections.abc import Callable, Sequence
from ctypes import byref, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

_PACKAGE = "onednn-cpu-gomp"
_LIBRARY = "libdnnl.so.3"

_MOST_DIMENSIONS = 12
_TYPES = {torch.bfloat16: 2, torch.float32: 3}
_ANY_LAYOUT = 1
_CPU, _IN_ORDER = 1, 1
_INFERENCE, _DIRECT, _NEAREST = 96, 1, 0x2FFF0
_ACTIVATIONS = {"leaky_relu": 0x20, "hardtanh": 0x2E}
_QUERIES = {"weights": 131, "scratchpad": 136}
_SOURCE, _RESULT, _WEIGHTS, _BIAS, _SCRATCHPAD = 1, 17, 33, 41, 80
_OF_USER = 1
# What the number of an argument is multiplied by to be that of the first thing that follows; its slopes differ along
# channels, the second dimension.
_FOLLOWING, _A_SLOPE_EACH = 1 << 15, 1 << 1
_ALLOCATE = c_void_p(-1)

# Sizes of input that a call stays prepared for.
MOST_SIZES = 64

# oneDNN's name of what results are put through, and its numbers: ("none",), ("leaky_relu", slope), ("hardtanh", low,
# high), or ("prelu", a slope for each channel), which torch has no way to.
Activation = tuple[str, *tuple[float, ...]]
NONE: Activation = ("none",)

Given = ParamSpec("Given")
Result = TypeVar("Result")


def is_available() -> bool:
    """Whether oneDNN's library is installed."""
    return _file() is not None


class _Argument(ctypes.Structure):
    _fields_ = (("number", c_int), ("memory", c_void_p))


class _Object:
    """A thing of oneDNN's, destroyed with this one. ctypes passes it as the pointer it holds."""

    def __init__(self, kind: str, create: str, *arguments: object) -> None:
        self._as_parameter_ = c_void_p()
        self._destroy = getattr(_library(), f"dnnl_{kind}_destroy")
        _do(create, byref(self._as_parameter_), *arguments)

    def __del__(self) -> None:
        self._destroy(self._as_parameter_)


class Convolution:
    """A convolution of float32 or bfloat16, to be prepared for inputs of any size.

    Args:
        like: whose weights it has, rounded to `dtype`, and whose bias, stride, padding and dilation.
        dtype: of what it reads.
        result: of what it puts out.
    """

    def __init__(self, like: nn.Conv2d, dtype: torch.dtype, result: torch.dtype) -> None:
        groups = like.groups
        weight, bias = like.weight.detach().float(), like.bias
        self._weight = (weight.unflatten(0, (groups, -1)) if groups > 1 else weight).contiguous()
        self._bias = torch.zeros(len(weight)) if bias is None else bias.detach().float().contiguous()
        self._type = _TYPES[dtype]
        self._result = result
        assert not isinstance(like.padding, str)
        self._outputs, self._kernel = like.out_channels, like.kernel_size
        self._stride, self._padding, self._dilation = like.stride, like.padding, like.dilation
        self._laid_out: list[tuple[_Object, _Object]] = []
        _stream()  # made now, by one thread: all that is prepared later, by whichever thread, belongs to it

    def prepare(self, size: Sequence[int], activation: Activation = NONE, *, adds: bool = False) -> "Prepared":
        """The call for one size of input.

        Args:
            size: (B, in, H, W) of the input, channels innermost.
            activation: what results are put through.
            adds: whether they are added to what is in their place, before the activation.
        """
        results = self._size_of_results(size)
        layouts = [_channels_innermost(size, self._type), _channels_innermost(results, _TYPES[self._result])]
        bias = _plain(self._bias.shape, _TYPES[torch.float32])
        description = _Object(
            "primitive_desc",
            "dnnl_convolution_forward_primitive_desc_create",
            _engine(),
            _INFERENCE,
            _DIRECT,
            layouts[0],
            _any_layout(self._weight.shape, self._type),
            bias,
            layouts[1],
            _sizes(self._stride),
            _sizes([step - 1 for step in self._dilation]),
            _sizes(self._padding),
            _sizes(self._padding),
            _attributes(activation, adds),
        )
        others = {_WEIGHTS: self._weights(_asked(description, "weights")), _BIAS: _memory(bias, self._bias)}
        slopes = torch.tensor(activation[1:])
        if activation[0] == "prelu":
            others[_FOLLOWING * (1 + adds) | _WEIGHTS] = _memory(
                _plain((1, len(slopes), 1, 1), _TYPES[torch.float32]), slopes
            )
        return Prepared(results, self._result, description, layouts, others, (self._bias, slopes))

    def _size_of_results(self, size: Sequence[int]) -> tuple[int, ...]:
        along = zip(size[2:], self._kernel, self._stride, self._padding, self._dilation, strict=True)
        sides = ((side + 2 * pad - step * (cells - 1) - 1) // stride + 1 for side, cells, stride, pad, step in along)
        return size[0], self._outputs, *sides

    def _weights(self, layout: c_void_p) -> _Object:
        """The weights as the processor wants them for these sizes; most sizes want the same."""
        for known, memory in self._laid_out:
            if _library().dnnl_memory_desc_equal(known, layout):
                return memory
        own = _Object("memory_desc", "dnnl_memory_desc_clone", layout)
        memory = _Object("memory", "dnnl_memory_create", own, _engine(), _ALLOCATE)
        plain = _plain(self._weight.shape, _TYPES[torch.float32])
        reorder = _Object(
            "primitive_desc", "dnnl_reorder_primitive_desc_create", plain, _engine(), own, _engine(), c_void_p()
        )
        put = _Object("primitive", "dnnl_primitive_create", reorder)
        _Call(put, {_SOURCE: _memory(plain, self._weight), _RESULT: memory})()
        self._laid_out.append((own, memory))
        return memory


class _Call:
    """A primitive and the memory it works on, for one thread at a time."""

    def __init__(self, primitive: _Object, memories: dict[int, _Object]) -> None:
        self._primitive = primitive
        self._memories = memories
        known = (_Argument(number, memory._as_parameter_) for number, memory in memories.items())
        count = len(memories)
        self.execute = _library().dnnl_primitive_execute
        self.arguments = primitive._as_parameter_, _stream()._as_parameter_, count, (_Argument * count)(*known)

    def __call__(self) -> None:
        # On a processor nothing goes on after this, so nothing has to be waited for.
        if self.execute(*self.arguments):
            raise RuntimeError("oneDNN could not compute what it had prepared")


class Prepared:
    """A call for inputs of one size, shared out among as many cores as the thread that prepared it computes on.

    Attributes:
        size: of the results, (B, out, H, W).
        dtype: of the results.
    """

    def __init__(
        self,
        size: Sequence[int],
        dtype: torch.dtype,
        description: _Object,
        layouts: Sequence[_Object],
        others: dict[int, _Object],
        read: Sequence[Tensor] = (),
    ) -> None:
        self.size = tuple(size)
        self.dtype = dtype
        self._read = read  # by the call, where it lies
        self._description = description  # which the scratchpad's layout belongs to
        self._layouts = layouts
        self._others = others
        self._primitive = _Object("primitive", "dnnl_primitive_create", description)
        self._set = _quick_library().dnnl_memory_set_data_handle
        # A call's input, result and scratchpad are one thread's at a time; each takes one of these, or makes its own.
        self._free = [self._new_call()]

    def __call__(self, source: int, result: int) -> None:
        """Of the input at one address make the result at another, of the sizes prepared for, channels innermost."""
        try:
            taken = self._free.pop()
        except IndexError:
            taken = self._new_call()
        call, places = taken
        self._set(places[0], source)
        self._set(places[1], result)
        call()
        self._free.append(taken)

    def _new_call(self) -> tuple[_Call, tuple[c_void_p, c_void_p]]:
        """A call, and the memories of oneDNN's whose places are those of its input and result."""
        source, result = (
            _Object("memory", "dnnl_memory_create", each, _engine(), c_void_p()) for each in self._layouts
        )
        memories = {_SOURCE: source, _RESULT: result, **self._others}
        scratchpad = _asked(self._description, "scratchpad")
        if _library().dnnl_memory_desc_get_size(scratchpad):
            memories[_SCRATCHPAD] = _Object("memory", "dnnl_memory_create", scratchpad, _engine(), _ALLOCATE)
        return _Call(self._primitive, memories), (source._as_parameter_, result._as_parameter_)


def prepare_rounding(size: Sequence[int], source: torch.dtype, result: torch.dtype) -> Prepared:
    """The call that takes inputs of a size (B, c, H, W) from one type to another."""
    layouts = [_channels_innermost(size, _TYPES[each]) for each in (source, result)]
    description = _Object(
        "primitive_desc", "dnnl_reorder_primitive_desc_create", layouts[0], _engine(), layouts[1], _engine(), c_void_p()
    )
    return Prepared(size, result, description, layouts, {})


def prepare_enlarging(size: Sequence[int], dtype: torch.dtype) -> Prepared:
    """The call that adds inputs of a size (B, c, H, W), each cell four times, to maps of twice the height and width."""
    batch, channels, height, width = size
    results = (batch, channels, 2 * height, 2 * width)
    layouts = [_channels_innermost(each, _TYPES[dtype]) for each in (size, results)]
    description = _Object(
        "primitive_desc",
        "dnnl_resampling_forward_primitive_desc_create",
        _engine(),
        _INFERENCE,
        _NEAREST,
        c_void_p(),
        *layouts,
        _attributes(NONE, adds=True),
    )
    return Prepared(results, dtype, description, layouts, {})


def kept_by_size(make: Callable[Given, Result]) -> Callable[Given, Result]:
    """What `make` gives for sizes, kept for so many of them, and for each number of cores that a thread computes on."""
    known = lru_cache(MOST_SIZES)(lambda _, *sizes, **others: make(*sizes, **others))
    return lambda *sizes, **others: known(torch.get_num_threads(), *sizes, **others)


@cache
def _file() -> Path | None:
    try:
        files = distribution(_PACKAGE).files or ()
    except PackageNotFoundError:
        return None
    found = (Path(str(each.locate())).resolve() for each in files if each.name == _LIBRARY)
    return next((path for path in found if path.is_file()), None)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_file()))
    library.dnnl_primitive_desc_query_md.restype = c_void_p
    library.dnnl_memory_desc_get_size.restype = c_size_t
    library.dnnl_primitive_execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]
    return library


@cache
def _quick_library() -> ctypes.PyDLL:
    """For what takes less time than letting other threads of Python go on meanwhile."""
    library = ctypes.PyDLL(str(_file()))
    library.dnnl_memory_set_data_handle.argtypes = [c_void_p, c_void_p]
    return library


def _do(function: str, *arguments: object) -> None:
    status = getattr(_library(), function)(*arguments)
    if status:
        raise RuntimeError(f"oneDNN's {function} failed with status {status}")


@cache
def _engine() -> _Object:
    return _Object("engine", "dnnl_engine_create", _CPU, c_size_t(0))


@cache
def _stream() -> _Object:
    return _Object("stream", "dnnl_stream_create", _engine(), _IN_ORDER)


def _attributes(activation: Activation, adds: bool) -> _Object:
    """Of a convolution: what follows it, and that its scratchpad is given to it, for calls from many threads."""
    following = _Object("post_ops", "dnnl_post_ops_create")
    if adds:
        _do("dnnl_post_ops_append_sum", following, c_float(1), c_int32(0), 0)
    name, *numbers = activation
    if name == "prelu":
        _do("dnnl_post_ops_append_prelu", following, _A_SLOPE_EACH)
    elif name in _ACTIVATIONS:
        alpha, beta = (c_float(number) for number in (*numbers, 0.0)[:2])
        _do("dnnl_post_ops_append_eltwise", following, _ACTIVATIONS[name], alpha, beta)
    attributes = _Object("primitive_attr", "dnnl_primitive_attr_create")
    _do("dnnl_primitive_attr_set_post_ops", attributes, following)
    _do("dnnl_primitive_attr_set_scratchpad_mode", attributes, _OF_USER)
    return attributes


def _sizes(numbers: Sequence[int]) -> ctypes.Array[c_int64]:
    return (c_int64 * _MOST_DIMENSIONS)(*numbers)


def _any_layout(size: Sequence[int], type_: int) -> _Object:
    return _Object("memory_desc", "dnnl_memory_desc_create_with_tag", len(size), _sizes(size), type_, _ANY_LAYOUT)


def _plain(size: Sequence[int], type_: int) -> _Object:
    strides = torch.empty(tuple(size), device="meta").stride()
    return _strided(size, type_, strides)


def _channels_innermost(size: Sequence[int], type_: int) -> _Object:
    _, channels, height, width = size
    return _strided(size, type_, (height * width * channels, 1, width * channels, channels))


def _strided(size: Sequence[int], type_: int, strides: Sequence[int]) -> _Object:
    return _Object(
        "memory_desc", "dnnl_memory_desc_create_with_strides", len(size), _sizes(size), type_, _sizes(strides)
    )


def _memory(layout: _Object, values: Tensor) -> _Object:
    """The memory of a tensor, which must stay as long."""
    return _Object("memory", "dnnl_memory_create", layout, _engine(), c_void_p(values.data_ptr()))


def _asked(description: _Object, what: str) -> c_void_p:
    """A layout that the description owns."""
    return c_void_p(_library().dnnl_primitive_desc_query_md(description, _QUERIES[what], 0))
