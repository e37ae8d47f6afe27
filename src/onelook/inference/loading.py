"""Open a trained model for inference: with torch, or with onnxruntime where torch is not installed."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from onelook.errors import ModelError
from onelook.inference.predictor import Predictor
from onelook.model.model_folder import fingerprint, has_mesh_head, onnx_path
from onelook.settings import Precision

if TYPE_CHECKING:
    from onelook.inference.torch_predictor import TorchPredictor


def load_torch_predictor(folder: Path, precision: Precision = "float32") -> "TorchPredictor":
    """The looker of a model folder; its network looks, and cannot be trained on.

    Args:
        folder: of the model.
        precision: what most of the network computes in. float32 gives the same answers on every processor but for
            rounding; bfloat16 is faster where `onelook.inference.fast.network.fastest_precision` says so.

    Raises:
        ModelError: the folder is missing or damaged.
    """
    from onelook.inference.fast.memory import retain_freed_memory
    from onelook.inference.fast.network import optimize_for_inference
    from onelook.inference.torch_predictor import TorchPredictor
    from onelook.model.serialization import load_model

    retain_freed_memory()
    return TorchPredictor(optimize_for_inference(load_model(folder), precision), fingerprint(folder), folder)


def open_predictor(model: Path) -> Predictor:
    """The model of a folder, as fast as this processor looks, or of a file that `onelook export-model` wrote.

    A folder is run by the exported file beside it, where there is one of the same model: who wrote it there wants that.

    Raises:
        ModelError: it is missing or damaged.
    """
    # Each imports a library that takes its time to load, and only one of them is needed.
    if model.suffix == ".onnx":
        from onelook.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor(model)
    exported = _beside(model)
    if exported is not None:
        return exported
    from onelook.inference.fast.network import fastest_precision

    return load_torch_predictor(model, fastest_precision())


def _beside(folder: Path) -> Predictor | None:
    """The model of a folder as it lies exported beside it; None where it does not, or would tell less."""
    file = onnx_path(folder)
    if not file.is_file() or find_spec("onnxruntime") is None or has_mesh_head(folder):
        return None
    from onelook.inference.onnx_predictor import OnnxPredictor

    own = fingerprint(folder)
    try:
        exported = OnnxPredictor(file)
        problem = None if exported.fingerprint == own else f"{file}: made of another model than {folder}"
    except ModelError as error:
        problem = str(error).partition(";")[0]
    if problem is None:
        return exported
    print(f"warning: {problem}; not used until `onelook export-model` writes it again", file=sys.stderr)
    return None
