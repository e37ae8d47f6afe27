"""SCRFD face detector (Guo et al. 2021, "Sample and Computation Redistribution for Efficient Face Detection").

A peer of the benchmarks, from its ONNX file: strides 8, 16 and 32, two anchors a cell, five points.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx

from onelook.detections import Detections
from onelook.inference.decoding import nms
from onelook.inference.resize import resize_to_longest_side
from onelook.onnx_session import open_session

SCRFD_500M = "weights/scrfd_500m_bnkps.onnx"
LONGEST_SIDE = 640
"""Input size of its public pipeline (insightface), in pixels."""
SCORE = 0.5
NMS_IOU = 0.4
STRIDES = (8, 16, 32)
ANCHORS = 2
_MULTIPLE = max(STRIDES)


class Scrfd:
    """A detector of images of any size."""

    def __init__(self, path: Path, threads: int) -> None:
        """Open the ONNX file in onnxruntime on the CPU.

        Raises:
            ModelError: the file cannot be run, or onnxruntime is not installed.
        """
        model = onnx.load(path)
        for value in (*model.graph.output, *model.graph.value_info):
            value.type.tensor_type.ClearField("shape")
        for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
            dim.dim_param = name
        self._session = open_session(
            model.SerializeToString(), source=str(path), hint="download it again", device="cpu", threads=threads
        )
        self._input = self._session.get_inputs()[0].name

    def detect(self, image: np.ndarray, *, longest_side: int = LONGEST_SIDE, score: float = SCORE) -> Detections:
        """Detect the faces of an image, without embeddings.

        Args:
            image: RGB uint8 (H, W, 3); scaled down to `longest_side`, never up.
            longest_side: of the network's input, in pixels.
            score: lowest face probability.
        """
        resized = resize_to_longest_side(image, longest_side)
        height, width = resized.shape[:2]
        padding = -height % _MULTIPLE, -width % _MULTIPLE
        padded = cv2.copyMakeBorder(resized, 0, padding[0], 0, padding[1], cv2.BORDER_CONSTANT)
        pixels = (padded.astype(np.float32) - 127.5) / 128
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]})
        found = decode_scrfd(outputs, padded.shape[:2], score)
        ratio = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        return Detections(found.boxes * np.tile(ratio, 2), found.scores, found.landmarks * ratio, found.embeddings)


def decode_scrfd(outputs: Sequence[np.ndarray], shape: tuple[int, int], score: float) -> Detections:
    """Decode the outputs of SCRFD and apply NMS.

    Args:
        outputs: nine arrays for a anchors: face probabilities (..., a, 1) of each stride; distances from the cell to
            the four sides (..., a, 4) of each stride; offsets of the five points (..., a, 10) of each stride. Distances
            and offsets are in strides.
        shape: height and width of the input, multiples of 32.
        score: lowest face probability.

    Returns:
        Detections in pixels of the input, with embeddings of length 0.
    """
    parts = []
    for index, stride in enumerate(STRIDES):
        probabilities = outputs[index].reshape(-1)
        kept = np.flatnonzero(probabilities >= score)
        cells = kept // ANCHORS
        columns = shape[1] // stride
        centers = stride * np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
        sides = stride * outputs[index + 3].reshape(-1, 4)[kept]
        offsets = stride * outputs[index + 6].reshape(-1, 5, 2)[kept]
        boxes = np.concatenate([centers - sides[:, :2], centers + sides[:, 2:]], axis=1)
        parts.append((boxes, probabilities[kept], centers[:, None] + offsets))
    boxes, scores, landmarks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    best = nms(boxes, scores, NMS_IOU)
    return Detections(boxes[best], scores[best], landmarks[best], np.zeros((len(best), 0), np.float32))
