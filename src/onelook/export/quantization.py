"""An exported pass with whole numbers of 8 bits in the convolutions where they save time and cost little.

Weights and what goes in and out of a convolution are rounded to 256 levels whose range is that of example photos
(static quantization, one range for each output channel of a weight: Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", 2018). What is left in float was measured to be worth it:
the first layers and the embedding's widest, where one range fits no channel well, and the heads, whose landmarks say
where a face is sampled. Depthwise convolutions are no faster in whole numbers.
"""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from onelook.data.image_io import read_image
from onelook.errors import ModelError, PhotoError
from onelook.inference.resize import resize_to_longest_side
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import DetectSettings

# Example photos: ranges hardly move with more.
EXAMPLES = 60
_DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)
# Parts of the network by their names in the graph, and the least input channels a convolution there must have.
_PARTS = {"/detector/backbone/": 64, "/detector/fpn/": 1, "/detector/context.": 1, "/embedding/tail/": 1}


def read_examples(photos: Sequence[Path], looker: TorchPredictor) -> list[np.ndarray]:
    """Those that show a face of up to `EXAMPLES` photos spread over those given, of at most 640 pixels a side.

    What cannot be read is passed over.
    """
    examples = []
    for path in photos[:: max(1, len(photos) // EXAMPLES)][:EXAMPLES]:
        try:
            photo = resize_to_longest_side(read_image(path), _DETECT.longest_side)
        except PhotoError:
            continue
        if len(looker.predict([photo], _DETECT)[0]):
            examples.append(photo)
    return examples


def quantize(graph: onnx.ModelProto, examples: Sequence[np.ndarray]) -> onnx.ModelProto:
    """The same pass with 8-bit convolutions.

    Args:
        graph: the whole pass, as `onelook.export.onnx_writer` makes it.
        examples: RGB uint8 (H, W, 3) that show faces, as otherwise nobody's embedding is measured.

    Raises:
        ModelError: onnxruntime is not installed.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise ModelError("int8 needs onnxruntime; `pip install 'onelook[onnx]'`") from error
    logging.disable(logging.WARNING)  # it asks for a pass of its optimizer first, which this graph has no need of
    try:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                graph,
                written,
                _Inputs(examples),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,  # weights of 7 bits, whose products no processor's short sums overflow
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=list(_worth_it(graph)),
            )
            return onnx.load(written)
    finally:
        logging.disable(logging.NOTSET)


def _worth_it(graph: onnx.ModelProto) -> Iterator[str]:
    """The names of the convolutions to quantize."""
    channels = {each.name: each.dims[1] for each in graph.graph.initializer if len(each.dims) == 4}
    for node in graph.graph.node:
        groups = [each.i for each in node.attribute if each.name == "group"]
        least = next((least for part, least in _PARTS.items() if part in node.name), None)
        if node.op_type == "Conv" and groups == [1] and least is not None and channels[node.input[1]] >= least:
            yield node.name


class _Inputs:
    """The examples one after the other, as onnxruntime asks for them."""

    def __init__(self, examples: Sequence[np.ndarray]) -> None:
        terms = {"score": np.array([_DETECT.score], np.float32), "nms": np.array([_DETECT.nms], np.float32)}
        self._left = iter([{"photos": photo[None], **terms} for photo in examples])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)
