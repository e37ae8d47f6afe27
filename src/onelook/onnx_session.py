"""Open ONNX models in onnxruntime, on a CUDA card or on the CPU, without torch.

onnxruntime falls back to the CPU without an exception, so the provider of a session is compared with the requested one.
"""

import contextlib
import ctypes
import io
import logging
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from onelook.device import DEVICE_NAMES, is_device_name
from onelook.errors import ModelError, OnelookError, is_out_of_memory
from onelook.untrusted import one_line

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
INSTALL_GPU_BUILDS = (
    "`pip install 'onelook[gpu]'`, `pip uninstall -y onnxruntime faiss-cpu`, then "
    "`pip install --force-reinstall --no-deps onnxruntime-gpu faiss-gpu`"
)
"""Commands that replace the CPU builds, which the package depends on: both builds install the same files."""
_CUDA_OPTIONS = {
    # TF32 rounds the factors of a product to 10 bits; embeddings of one model must agree between devices.
    "use_tf32": "0",
    # The default measures all algorithms at each new shape, so the choice differs between runs.
    "cudnn_conv_algo_search": "HEURISTIC",
}


def open_session(model: Path | bytes, *, source: str, hint: str, device: str = "auto", threads: int = 0) -> Any:
    """Open a model with the best provider of a device, and log the provider.

    Args:
        model: ONNX file, or its content.
        source: name of the model in messages.
        hint: how to fix a model that cannot be opened, for the message.
        device: name of the device. `auto` is CUDA where onnxruntime can use a card, else the CPU. `mps` is the CPU.
        threads: CPU threads of one operator; 0: one per core.

    Raises:
        ModelError: onnxruntime is not installed, or cannot run the model.
        OnelookError: the device is unknown, or onnxruntime cannot use the named card.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{source}: needs onnxruntime; `pip install onnxruntime`") from error
    available = onnxruntime.get_available_providers()
    provider = select_provider(device, available, count_cards() if CUDA in available else 0)
    if device == "mps":
        _warn_once("onnxruntime does not run on MPS: ONNX models run on the CPU")
    if device == "auto" and CUDA in available and provider == CPU:
        _warn_once("onnxruntime-gpu finds no NVIDIA driver or no card: ONNX models run on the CPU")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the cores from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    problem = None
    if provider == CUDA:
        session, problem = _open_on_card(model, options, card_index(device))
        if session is not None:
            logger.info("%s: runs on card %d (%s)", source, card_index(device), CUDA)
            return session
    try:
        session = _create_session(model, options, [CPU])
    except Exception as error:  # the exceptions of onnxruntime have no narrower common base
        if is_out_of_memory(error):
            raise ModelError(f"{source}: too little memory to open it; close other programs") from error
        raise ModelError(f"{source}: no ONNX file that onnxruntime can run; {hint} ({one_line(error)})") from error
    if problem is not None and device != "auto":
        raise OnelookError(f"device {device}: onnxruntime cannot use the card ({problem}); {INSTALL_GPU_BUILDS}")
    if problem is not None:
        _warn_once(f"onnxruntime-gpu cannot use the card ({problem}): ONNX models run on the CPU; {INSTALL_GPU_BUILDS}")
    logger.info("%s: runs on the CPU (%s)", source, CPU)
    return session


def select_provider(device: str, available: Sequence[str], num_cards: int) -> str:
    """Return the provider to request for a device.

    Args:
        device: name of the device, see `open_session`.
        available: the providers that onnxruntime is built with.
        num_cards: number of cards of the driver.

    Raises:
        OnelookError: the name is unknown, or a named card is not available.
    """
    if not is_device_name(device):
        raise OnelookError(f"device {device!r}: unknown; name {DEVICE_NAMES}")
    has_card = CUDA in available and num_cards > 0
    if not device.startswith("cuda"):
        return CUDA if device == "auto" and has_card else CPU
    if CUDA not in available:
        raise OnelookError(f"device {device}: this onnxruntime is built without CUDA; {INSTALL_GPU_BUILDS}")
    if not has_card:
        raise OnelookError(
            f"device {device}: onnxruntime finds no NVIDIA driver or no card; install a driver, or name device cpu"
        )
    if card_index(device) >= num_cards:
        raise OnelookError(
            f"device {device}: there is no such card, the last one is cuda:{num_cards - 1}; name that or cuda"
        )
    return CUDA


def card_index(device: str) -> int:
    """Return the index of the card of auto, cuda and cuda:N; 0 where none is named."""
    return int(device.partition(":")[2] or 0)


def count_cards() -> int:
    """Count the cards that the NVIDIA driver offers to this process; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    succeeded = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if succeeded else 0


def _open_on_card(model: Path | bytes, options: Any, index: int) -> tuple[Any, str]:
    """Open a model on a card; return the session, or None and the reason."""
    import onnxruntime

    # It prints to stdout, which belongs to the results of a command.
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        onnxruntime.preload_dlls()
    logger.debug("onnxruntime.preload_dlls: %s", printed.getvalue())
    try:
        session = _create_session(model, options, [(CUDA, {"device_id": str(index), **_CUDA_OPTIONS}), CPU])
    except Exception as error:  # the exceptions of onnxruntime have no narrower common base
        return None, one_line(error)
    if CUDA not in session.get_providers():
        return None, "it cannot load its CUDA libraries, see its messages above"
    return session, ""


def _create_session(model: Path | bytes, options: Any, providers: list[Any]) -> Any:
    import onnxruntime

    content = str(model) if isinstance(model, Path) else model
    # With its fallback, onnxruntime prints an error to stdout and goes on with the CPU.
    session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
    _decode_text(session)
    return session


def _decode_text(session: Any) -> tuple[Any, ...]:
    """Return the properties, names and shapes of a session, which onnxruntime decodes when they are read.

    Raises:
        UnicodeDecodeError: one of them is not UTF-8.
    """
    ends = (*session.get_inputs(), *session.get_outputs())
    return session.get_modelmeta().custom_metadata_map, *((end.name, end.shape) for end in ends)


@cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)
