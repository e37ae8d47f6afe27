"""ctypes bindings of oneDNN: primitives that are created once for each input shape.

torch creates an oneDNN primitive description at every call and looks the primitive up in a cache. For the small
convolutions of this network that takes as long as their arithmetic (`docs/profile.md`, `benchmarks/one_look.py`).

The shared library is that of the package `onednn-cpu-gomp` (`pip install 'onelook[fast]'`, Linux on x86-64), as torch
does not export the symbols of its own copy. Without the package `onelook.inference.fast.convolution` uses torch's
fused operators.

Constants are those of oneDNN's C interface, version 3 (`dnnl_types.h`).
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from ctypes import byref, c_float, c_int, c_int32, c_int64, c_size_t, c_void_p
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

_PACKAGE = "onednn-cpu-gomp"
_LIBRARY_FILE = "libdnnl.so.3"

_MAX_DIMS = 12
_DATA_TYPES = {torch.bfloat16: 2, torch.float32: 3}
_FORMAT_TAG_ANY = 1
_ENGINE_CPU, _STREAM_IN_ORDER = 1, 1
_FORWARD_INFERENCE, _CONVOLUTION_DIRECT, _RESAMPLING_NEAREST = 96, 1, 0x2FFF0
_ELTWISE_ALGORITHMS = {"leaky_relu": 0x20, "hardtanh": 0x2E}
_QUERIES = {"weights": 131, "scratchpad": 136}
_ARG_SRC, _ARG_DST, _ARG_WEIGHTS, _ARG_BIAS, _ARG_SCRATCHPAD = 1, 17, 33, 41, 80
_SCRATCHPAD_USER = 1
# The argument number of a post-op is a multiple of the first constant. The second is the PReLU mask of one slope per
# channel, which is dimension 1.
_ARG_POST_OP, _PRELU_MASK_PER_CHANNEL = 1 << 15, 1 << 1
_ALLOCATE = c_void_p(-1)

MAX_CACHED_SHAPES = 64
"""Input shapes whose primitives `cache_by_shape` retains."""

# The activation that is fused into a convolution, by torch's name and its parameters: ("none",),
# ("leaky_relu", slope), ("hardtanh", low, high), or ("prelu", a slope for each channel), which torch cannot fuse.
Activation = tuple[str, *tuple[float, ...]]
NO_ACTIVATION: Activation = ("none",)

Params = ParamSpec("Params")
Result = TypeVar("Result")

_enabled: ContextVar[bool] = ContextVar("onednn_enabled", default=True)


def is_available() -> bool:
    """Return True if oneDNN's library is installed and not disabled by `disabled`."""
    return _enabled.get() and _library_path() is not None


@contextmanager
def disabled() -> Iterator[None]:
    """Optimize networks for torch alone inside the context, as where the package is not installed."""
    token = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(token)


class _Argument(ctypes.Structure):
    _fields_ = (("number", c_int), ("memory", c_void_p))


class _Handle:
    """An oneDNN object, destroyed together with this one. ctypes passes it as the pointer that it holds."""

    _destroy: Callable[..., int] | None = None  # until it is created, which Ctrl-C may interrupt

    def __init__(self, kind: str, create: str, *arguments: object) -> None:
        self._as_parameter_ = c_void_p()
        self._destroy = getattr(_library(), f"dnnl_{kind}_destroy")
        _check_call(create, byref(self._as_parameter_), *arguments)

    def __del__(self) -> None:
        if self._destroy is not None:
            self._destroy(self._as_parameter_)


class ConvPrimitive:
    """The weights of a convolution, from which primitives are created for input shapes.

    Args:
        conv: source of the weights, bias, stride, padding, dilation and groups.
        input_dtype: float32 or bfloat16, data type of the input and the weights.
        output_dtype: data type of the output.
    """

    def __init__(self, conv: nn.Conv2d, input_dtype: torch.dtype, output_dtype: torch.dtype) -> None:
        groups = conv.groups
        weight, bias = conv.weight.detach().float(), conv.bias
        self._weight = (weight.unflatten(0, (groups, -1)) if groups > 1 else weight).contiguous()
        self._bias = torch.zeros(len(weight)) if bias is None else bias.detach().float().contiguous()
        self._input_type = _DATA_TYPES[input_dtype]
        self._output_dtype = output_dtype
        assert not isinstance(conv.padding, str)
        self._out_channels, self._kernel = conv.out_channels, conv.kernel_size
        self._stride, self._padding, self._dilation = conv.stride, conv.padding, conv.dilation
        self._packed_weights: list[tuple[_Handle, _Handle]] = []
        _stream()  # created here, by one thread: primitives that other threads create later share it

    def create(
        self, shape: Sequence[int], activation: Activation = NO_ACTIVATION, *, accumulate: bool = False
    ) -> "PreparedPrimitive":
        """Create the primitive of one input shape.

        Args:
            shape: (B, in, H, W) of the input, in channels-last memory format.
            activation: applied to the output.
            accumulate: add to the values in the output memory, before the activation.
        """
        output_shape = self._output_shape(shape)
        layouts = [
            _channels_last_desc(shape, self._input_type),
            _channels_last_desc(output_shape, _DATA_TYPES[self._output_dtype]),
        ]
        bias = _contiguous_desc(self._bias.shape, _DATA_TYPES[torch.float32])
        description = _Handle(
            "primitive_desc",
            "dnnl_convolution_forward_primitive_desc_create",
            _engine(),
            _FORWARD_INFERENCE,
            _CONVOLUTION_DIRECT,
            layouts[0],
            _any_layout_desc(self._weight.shape, self._input_type),
            bias,
            layouts[1],
            _dims(self._stride),
            _dims([step - 1 for step in self._dilation]),
            _dims(self._padding),
            _dims(self._padding),
            _attributes(activation, accumulate),
        )
        constants = {_ARG_WEIGHTS: self._weights(_query(description, "weights")), _ARG_BIAS: _memory(bias, self._bias)}
        slopes = torch.tensor(activation[1:])
        if activation[0] == "prelu":
            constants[_ARG_POST_OP * (1 + accumulate) | _ARG_WEIGHTS] = _memory(
                _contiguous_desc((1, len(slopes), 1, 1), _DATA_TYPES[torch.float32]), slopes
            )
        tensors = (self._bias, slopes)
        return PreparedPrimitive(output_shape, self._output_dtype, description, layouts, constants, tensors)

    def _output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        axes = zip(shape[2:], self._kernel, self._stride, self._padding, self._dilation, strict=True)
        sides = ((side + 2 * pad - step * (cells - 1) - 1) // stride + 1 for side, cells, stride, pad, step in axes)
        return shape[0], self._out_channels, *sides

    def _weights(self, layout: c_void_p) -> _Handle:
        """Return the weights in a layout that oneDNN chose; shapes that share a layout share the memory."""
        for known, memory in self._packed_weights:
            if _library().dnnl_memory_desc_equal(known, layout):
                return memory
        own = _Handle("memory_desc", "dnnl_memory_desc_clone", layout)
        memory = _Handle("memory", "dnnl_memory_create", own, _engine(), _ALLOCATE)
        plain = _contiguous_desc(self._weight.shape, _DATA_TYPES[torch.float32])
        reorder = _Handle(
            "primitive_desc", "dnnl_reorder_primitive_desc_create", plain, _engine(), own, _engine(), c_void_p()
        )
        primitive = _Handle("primitive", "dnnl_primitive_create", reorder)
        _Execution(primitive, {_ARG_SRC: _memory(plain, self._weight), _ARG_DST: memory})()
        self._packed_weights.append((own, memory))
        return memory


class _Execution:
    """A primitive with its memory arguments; one thread at a time may call it."""

    def __init__(self, primitive: _Handle, memories: dict[int, _Handle]) -> None:
        self._primitive = primitive
        self._memories = memories
        arguments = (_Argument(number, memory._as_parameter_) for number, memory in memories.items())
        count = len(memories)
        self._execute = _library().dnnl_primitive_execute
        self._arguments = primitive._as_parameter_, _stream()._as_parameter_, count, (_Argument * count)(*arguments)

    def __call__(self) -> None:
        # A CPU stream executes synchronously, so there is no wait.
        if self._execute(*self._arguments):
            raise RuntimeError("oneDNN failed to execute a primitive")


class PreparedPrimitive:
    """A primitive for one input shape and for the number of threads of the thread that created it.

    Attributes:
        shape: (B, out, H, W) of the output.
        dtype: of the output.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: torch.dtype,
        description: _Handle,
        layouts: Sequence[_Handle],
        constants: dict[int, _Handle],
        tensors: Sequence[Tensor] = (),
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = dtype
        self._tensors = tensors  # owners of memory that the constants point to
        self._description = description  # owner of the scratchpad's layout
        self._layouts = layouts
        self._constants = constants
        self._primitive = _Handle("primitive", "dnnl_primitive_create", description)
        self._set_data_handle = _gil_holding_library().dnnl_memory_set_data_handle
        # Input, output and scratchpad belong to one thread at a time: each takes a free execution or creates one.
        self._free = [self._new_execution()]

    def __call__(self, source: int, destination: int) -> None:
        """Execute on the memory at two addresses, both in channels-last memory format."""
        try:
            taken = self._free.pop()
        except IndexError:
            taken = self._new_execution()
        execution, (source_memory, destination_memory) = taken
        self._set_data_handle(source_memory, source)
        self._set_data_handle(destination_memory, destination)
        execution()
        self._free.append(taken)

    def _new_execution(self) -> tuple[_Execution, tuple[c_void_p, c_void_p]]:
        """Create an execution, and return it with the memory objects of its input and output."""
        source, destination = (
            _Handle("memory", "dnnl_memory_create", layout, _engine(), c_void_p()) for layout in self._layouts
        )
        memories = {_ARG_SRC: source, _ARG_DST: destination, **self._constants}
        scratchpad = _query(self._description, "scratchpad")
        if _library().dnnl_memory_desc_get_size(scratchpad):
            memories[_ARG_SCRATCHPAD] = _Handle("memory", "dnnl_memory_create", scratchpad, _engine(), _ALLOCATE)
        return _Execution(self._primitive, memories), (source._as_parameter_, destination._as_parameter_)


def prepare_cast(shape: Sequence[int], source: torch.dtype, destination: torch.dtype) -> PreparedPrimitive:
    """Create the primitive that converts maps of a shape (B, c, H, W) to another data type."""
    layouts = [_channels_last_desc(shape, _DATA_TYPES[dtype]) for dtype in (source, destination)]
    description = _Handle(
        "primitive_desc", "dnnl_reorder_primitive_desc_create", layouts[0], _engine(), layouts[1], _engine(), c_void_p()
    )
    return PreparedPrimitive(shape, destination, description, layouts, {})


def prepare_upsample_add(shape: Sequence[int], dtype: torch.dtype) -> PreparedPrimitive:
    """Create the primitive that adds maps (B, c, H, W), upsampled to (B, c, 2 H, 2 W), to the output memory."""
    batch, channels, height, width = shape
    output_shape = (batch, channels, 2 * height, 2 * width)
    layouts = [_channels_last_desc(each, _DATA_TYPES[dtype]) for each in (shape, output_shape)]
    description = _Handle(
        "primitive_desc",
        "dnnl_resampling_forward_primitive_desc_create",
        _engine(),
        _FORWARD_INFERENCE,
        _RESAMPLING_NEAREST,
        c_void_p(),
        *layouts,
        _attributes(NO_ACTIVATION, accumulate=True),
    )
    return PreparedPrimitive(output_shape, dtype, description, layouts, {})


def cache_by_shape(create: Callable[Params, Result]) -> Callable[Params, Result]:
    """Cache the results of `create` by its arguments and by the thread's number of torch threads (LRU)."""
    cached = lru_cache(MAX_CACHED_SHAPES)(lambda _, *shapes, **options: create(*shapes, **options))
    return lambda *shapes, **options: cached(torch.get_num_threads(), *shapes, **options)


@cache
def _library_path() -> Path | None:
    try:
        files = distribution(_PACKAGE).files or ()
    except PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())).resolve() for file in files if file.name == _LIBRARY_FILE)
    return next((path for path in paths if path.is_file()), None)


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_library_path()))
    library.dnnl_primitive_desc_query_md.restype = c_void_p
    library.dnnl_memory_desc_get_size.restype = c_size_t
    library.dnnl_primitive_execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]
    return library


@cache
def _gil_holding_library() -> ctypes.PyDLL:
    """Load the library for calls that are shorter than a release of the interpreter lock."""
    library = ctypes.PyDLL(str(_library_path()))
    library.dnnl_memory_set_data_handle.argtypes = [c_void_p, c_void_p]
    return library


def _check_call(function: str, *arguments: object) -> None:
    status = getattr(_library(), function)(*arguments)
    if status:
        raise RuntimeError(f"oneDNN's {function} failed with status {status}")


@cache
def _engine() -> _Handle:
    return _Handle("engine", "dnnl_engine_create", _ENGINE_CPU, c_size_t(0))


@cache
def _stream() -> _Handle:
    return _Handle("stream", "dnnl_stream_create", _engine(), _STREAM_IN_ORDER)


def _attributes(activation: Activation, accumulate: bool) -> _Handle:
    """Create primitive attributes: the post-ops, and a scratchpad given by the caller, for calls from many threads."""
    post_ops = _Handle("post_ops", "dnnl_post_ops_create")
    if accumulate:
        _check_call("dnnl_post_ops_append_sum", post_ops, c_float(1), c_int32(0), 0)
    name, *parameters = activation
    if name == "prelu":
        _check_call("dnnl_post_ops_append_prelu", post_ops, _PRELU_MASK_PER_CHANNEL)
    elif name in _ELTWISE_ALGORITHMS:
        alpha, beta = (c_float(parameter) for parameter in (*parameters, 0.0)[:2])
        _check_call("dnnl_post_ops_append_eltwise", post_ops, _ELTWISE_ALGORITHMS[name], alpha, beta)
    attributes = _Handle("primitive_attr", "dnnl_primitive_attr_create")
    _check_call("dnnl_primitive_attr_set_post_ops", attributes, post_ops)
    _check_call("dnnl_primitive_attr_set_scratchpad_mode", attributes, _SCRATCHPAD_USER)
    return attributes


def _dims(values: Sequence[int]) -> ctypes.Array[c_int64]:
    return (c_int64 * _MAX_DIMS)(*values)


def _any_layout_desc(shape: Sequence[int], data_type: int) -> _Handle:
    return _Handle(
        "memory_desc", "dnnl_memory_desc_create_with_tag", len(shape), _dims(shape), data_type, _FORMAT_TAG_ANY
    )


def _contiguous_desc(shape: Sequence[int], data_type: int) -> _Handle:
    strides = torch.empty(tuple(shape), device="meta").stride()
    return _strided_desc(shape, data_type, strides)


def _channels_last_desc(shape: Sequence[int], data_type: int) -> _Handle:
    _, channels, height, width = shape
    return _strided_desc(shape, data_type, (height * width * channels, 1, width * channels, channels))


def _strided_desc(shape: Sequence[int], data_type: int, strides: Sequence[int]) -> _Handle:
    return _Handle(
        "memory_desc",
        "dnnl_memory_desc_create_with_strides",
        len(shape),
        _dims(shape),
        data_type,
        _dims(strides),
    )


def _memory(layout: _Handle, values: Tensor) -> _Handle:
    """Wrap the memory of a tensor, which must outlive the result."""
    return _Handle("memory", "dnnl_memory_create", layout, _engine(), c_void_p(values.data_ptr()))


def _query(description: _Handle, name: str) -> c_void_p:
    """Return a memory description that the primitive description owns."""
    return c_void_p(_library().dnnl_primitive_desc_query_md(description, _QUERIES[name], 0))
