"""Writing a model as one ONNX file."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from onelook.export.onnx_graph import Faces, OnnxGraph
from onelook.export.quantization import quantize
from onelook.files import replacing
from onelook.model.joint_network import JointNetwork

# The first with everything the pass needs, and one that every onnxruntime of the last years reads.
OPSET = 18
_INPUTS = ("photos", "score", "nms")
_AXES = {"photos": {0: "batch", 1: "height", 2: "width"}} | {name: {0: "faces"} for name in Faces._fields}


def write_onnx(file: Path, network: JointNetwork, fingerprint: str, examples: Sequence[np.ndarray] = ()) -> None:
    """Write the whole pass; the file tells which model it was made of, and needs nothing beside it.

    Args:
        file: `.onnx`; one that is there is replaced in one step.
        network: in evaluation mode.
        fingerprint: of the model, kept in the file: galleries ask for it.
        examples: photos that show faces, for a file in 8 bits: see `onelook.export.quantization`.

    Raises:
        ModelError: the network is a grid of cells, or there are examples and no onnxruntime.
        OnelookError: the disk is full or the folder cannot be written.
    """
    graph = onnx.load_from_string(_recorded(OnnxGraph(network)))
    if examples:
        graph = quantize(graph, examples)
    size = str(network.settings.embedding.dim)
    onnx.helper.set_model_props(graph, {"fingerprint": fingerprint, "embedding_size": size})
    onnx.checker.check_model(graph)
    with replacing(file) as temporary:
        temporary.write_bytes(graph.SerializeToString())


def _recorded(whole: OnnxGraph) -> bytes:
    """The graph as the exporter that records one pass writes it.

    The newer one needs packages that this project does without, and would not follow a count of faces that only the
    suppression tells.
    """
    example = (torch.zeros(2, 96, 128, 3, dtype=torch.uint8), torch.tensor([0.5]), torch.tensor([0.4]))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # It tells of its own age and of every number it takes for a constant; these are the network's widths.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            example,
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=list(_INPUTS),
            output_names=list(Faces._fields),
            dynamic_axes=_AXES,
        )
    return buffer.getvalue()
