"""Open a trained model for inference, in torch or in onnxruntime.

The heavy imports are inside the functions: an exported file is opened without importing torch.
"""

import logging
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from onelook.device import check_device_name, resolve_device
from onelook.errors import ModelError
from onelook.forks import compute_alone_after_fork
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import ONNX, fingerprint, has_mesh_head, onnx_path, read_description
from onelook.settings import Precision

if TYPE_CHECKING:
    import torch

    from onelook.inference.torch_predictor import TorchPredictor

logger = logging.getLogger(__name__)


def load_torch_predictor(
    folder: Path, precision: Precision = "float32", device: "torch.device | None" = None
) -> "TorchPredictor":
    """Load a model folder as a network for inference; on the CPU it is optimized and cannot be trained.

    Args:
        folder: model folder.
        precision: data type of most of the network. With float32 the results differ between processors only by
            rounding; bfloat16 is faster where `onelook.inference.fast.network.fastest_precision` returns it, and
            `onelook.device.half_precision` on a card.
        device: of the network; None: the CPU.

    Raises:
        ModelError: the folder is missing or damaged, or torch is not installed.
        OnelookError: the device does not compute in this precision.
    """
    _check_torch(folder)
    import torch

    from onelook.inference.fast.network import optimize_for_inference
    from onelook.inference.torch_predictor import TorchPredictor
    from onelook.model.serialization import load_model

    compute_alone_after_fork()
    network = load_model(folder)
    if device is None or device.type == "cpu":
        return TorchPredictor(optimize_for_inference(network, precision), fingerprint(folder), folder)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchPredictor(network, fingerprint(folder), folder, precision=precision)


def open_predictor(model: Path, device: str = "auto") -> Predictor:
    """Open a model folder or an exported `.onnx` file with the fastest predictor.

    - An exported file is opened in onnxruntime, on the device that `onelook.onnx_session.open_session` chooses.
    - A folder is opened in onnxruntime, too, if an exported file of the same model lies beside it, and `device` names
      no card or torch is not installed. So is a folder with the file inside, as in the wheel, unless torch is faster.
    - Any other folder is opened in torch: on the CPU with its fastest precision, on another device in float32. Cards
      since Ampere then convolve in TF32, whose rounding is finer than bfloat16's.

    Args:
        model: model folder or exported file.
        device: name of the device, see `onelook.device.resolve_device`.

    Raises:
        ModelError: the model is missing or damaged, or needs torch, which is not installed.
        OnelookError: the device is unknown or not available.
    """
    check_device_name(device)
    if model.suffix == ".onnx":
        from onelook.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor(model, device)
    exported = _open_exported(model, device) if device in ("auto", "cpu") or not _has_torch() else None
    if exported is not None:
        return exported
    _check_torch(model)
    resolved = resolve_device(device)
    if resolved.type != "cpu":
        return load_torch_predictor(model, device=resolved)
    from onelook.inference.fast.network import fastest_precision

    return load_torch_predictor(model, fastest_precision())


def _open_exported(folder: Path, device: str) -> Predictor | None:
    """Open the exported file of a model folder.

    Returns:
        None if there is no such file, onnxruntime is not installed, or the folder has a mesh head, which the exported
        graph lacks. None with a warning if the file is damaged or of another model.
    """
    file = _find_exported(folder)
    if file is None or find_spec("onnxruntime") is None or has_mesh_head(folder):
        return None
    from onelook.inference.onnx_predictor import OnnxPredictor

    folder_fingerprint = fingerprint(folder)
    try:
        exported = OnnxPredictor(file, device)
        problem = None if exported.fingerprint == folder_fingerprint else f"{file}: made of another model than {folder}"
    except ModelError as error:
        problem = str(error).partition(";")[0]
    if problem is None:
        return exported
    logger.warning("%s; not used until `onelook export-model` writes it again", problem)
    return None


def _find_exported(folder: Path) -> Path | None:
    """Return the exported file of a model folder: beside it, else inside.

    The file inside is that of the wheel. torch with oneDNN, the extra `onelook[fast]`, is faster once it has started.
    """
    beside, inside = onnx_path(folder), folder / ONNX
    if beside.is_file():
        return beside
    return inside if inside.is_file() and not _has_fast_extra() else None


def _check_torch(folder: Path) -> None:
    """Check that a model folder can be opened in torch.

    Raises:
        ModelError: torch is not installed, or there is no such folder.
    """
    if not _has_torch():
        read_description(folder)
        raise ModelError(f"{folder}: needs torch; `pip install 'onelook[train]'`, or name an exported .onnx file")


def _has_torch() -> bool:
    return find_spec("torch") is not None


def _has_fast_extra() -> bool:
    try:
        distribution("onednn-cpu-gomp")
    except PackageNotFoundError:
        return False
    return _has_torch()
