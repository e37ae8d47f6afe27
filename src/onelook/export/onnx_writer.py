"""Write a model as one ONNX file."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from onelook.export.onnx_graph import OnnxGraph, OnnxOutputs
from onelook.files import atomic_file
from onelook.model.joint_network import JointNetwork
from onelook.onnx_checksum import CHECKED_KEY, append_checksum

# The lowest opset with all operators of the graph, so that older versions of onnxruntime read it.
OPSET = 18
_INPUTS = ("photos", "score", "nms")
_DYNAMIC_AXES = {"photos": {0: "batch", 1: "height", 2: "width"}} | {name: {0: "faces"} for name in OnnxOutputs._fields}


def write_onnx(
    file: Path, network: JointNetwork, fingerprint: str, calibration_images: Sequence[np.ndarray] = ()
) -> None:
    """Write a network with its pre- and postprocessing as an ONNX file.

    Args:
        file: `.onnx`; an existing file is replaced atomically.
        network: in evaluation mode.
        fingerprint: of the model folder; stored in the file's metadata, where galleries read it.
        calibration_images: RGB uint8 images with faces; if given, convolutions are quantized to 8 bits
            (`onelook.export.quantization`).

    Raises:
        ModelError: the network is a grid detector, or onnxruntime is not installed and images are given.
        OnelookError: the disk is full or the folder cannot be written.
    """
    graph = onnx.load_from_string(_trace(OnnxGraph(network)))
    if calibration_images:
        from onelook.export.quantization import quantize_convolutions  # a build of the wheel does not need it

        graph = quantize_convolutions(graph, calibration_images)
    size = str(network.settings.embedding.dim)
    metadata = {"fingerprint": fingerprint, "embedding_size": size, CHECKED_KEY: "sha256"}
    onnx.helper.set_model_props(graph, metadata)
    onnx.checker.check_model(graph)
    with atomic_file(file, private=False) as temporary:
        temporary.write_bytes(append_checksum(graph.SerializeToString()))


def _trace(module: OnnxGraph) -> bytes:
    """Export a module by tracing.

    The newer exporter (`dynamo=True`) needs further packages, and does not support the data-dependent number of faces
    after NMS.
    """
    example = (torch.zeros(2, 96, 128, 3, dtype=torch.uint8), torch.tensor([0.5]), torch.tensor([0.4]))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # Deprecation of the exporter, and notes on constants in the trace, which are the network's channel counts.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            example,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(_INPUTS),
            output_names=list(OnnxOutputs._fields),
            dynamic_axes=_DYNAMIC_AXES,
        )
    return buffer.getvalue()
