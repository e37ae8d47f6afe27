"""Static 8-bit quantization of an exported graph.

Weights and activations of a convolution are rounded to 256 levels over the range measured on calibration images.
Weights have one range per output channel. Reference: Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", 2018. These stay in float32 (measured by `benchmarks/int8.py`):

- the first layers and the widest layer of the embedding head, where one range fits no channel well;
- the detection heads, whose landmarks decide where a face is sampled;
- depthwise convolutions, which are no faster in 8 bits.
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

# More images hardly change the measured ranges.
MAX_CALIBRATION_IMAGES = 60
_DETECT = DetectSettings(score=0.5, nms=0.4, longest_side=640)
# Parts of the network to quantize, by their names in the graph, with the least input channels of a convolution there.
_MIN_INPUT_CHANNELS = {"/detector/backbone/": 64, "/detector/fpn/": 1, "/detector/context.": 1, "/embedding/tail/": 1}


def read_calibration_images(photos: Sequence[Path], predictor: TorchPredictor) -> list[np.ndarray]:
    """Read evenly spaced photos, at most `MAX_CALIBRATION_IMAGES`, and return those with faces.

    Images are scaled down to 640 pixels a side. Unreadable photos are skipped.
    """
    images = []
    for path in photos[:: max(1, len(photos) // MAX_CALIBRATION_IMAGES)][:MAX_CALIBRATION_IMAGES]:
        try:
            image = resize_to_longest_side(read_image(path), _DETECT.longest_side)
        except PhotoError:
            continue
        if len(predictor.predict([image], _DETECT)[0]):
            images.append(image)
    return images


def quantize_convolutions(graph: onnx.ModelProto, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Quantize the costly convolutions of a graph to 8 bits.

    Args:
        graph: as traced by `onelook.export.onnx_writer`.
        images: RGB uint8 (H, W, 3) with faces; without a face no range of the embedding head is measured.

    Raises:
        ModelError: onnxruntime is not installed.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise ModelError("int8 needs onnxruntime; `pip install onnxruntime`") from error
    logging.disable(logging.WARNING)  # onnxruntime recommends a preprocessing pass that this graph does not need
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                graph,
                file,
                _CalibrationReader(images),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,  # 7-bit weights, whose sums of products fit 16 bits on processors without VNNI
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=list(_select_convolutions(graph)),
            )
            return onnx.load(file)
    finally:
        logging.disable(logging.NOTSET)


def _select_convolutions(graph: onnx.ModelProto) -> Iterator[str]:
    """Yield the node names of the convolutions to quantize."""
    input_channels = {each.name: each.dims[1] for each in graph.graph.initializer if len(each.dims) == 4}
    for node in graph.graph.node:
        groups = [each.i for each in node.attribute if each.name == "group"]
        minimum = next((least for part, least in _MIN_INPUT_CHANNELS.items() if part in node.name), None)
        selected = node.op_type == "Conv" and groups == [1] and minimum is not None
        if selected and input_channels[node.input[1]] >= minimum:
            yield node.name


class _CalibrationReader:
    """onnxruntime's `CalibrationDataReader` over images."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        thresholds = {"score": np.array([_DETECT.score], np.float32), "nms": np.array([_DETECT.nms], np.float32)}
        self._inputs = iter([{"photos": image[None], **thresholds} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)
