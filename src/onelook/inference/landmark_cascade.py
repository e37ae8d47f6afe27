"""Landmark cascades for inference: points of found faces, and embeddings sampled at them."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from onelook.data.landmark_faces import crop_face, from_square
from onelook.data.sift_features import describe_points
from onelook.detections import Detections
from onelook.geometry.face_squares import FACE_SIDE
from onelook.inference.resize import resize_to_longest_side
from onelook.inference.torch_predictor import TorchPredictor
from onelook.model.landmark_cascade import LandmarkCascade
from onelook.settings import DetectSettings

_FACES_PER_PASS = 128


class LandmarkPredictor:
    """A cascade on NumPy images and boxes.

    Attributes:
        cascade: in evaluation mode, on its device. SIFT features, where it has any, are computed on the CPU.
    """

    def __init__(self, cascade: LandmarkCascade) -> None:
        self.cascade = cascade.eval()
        self._device = cascade.start.device

    def predict(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Predict the points (n, 5, 2) float32 of the faces of an image, RGB uint8 (H, W, 3), in its pixels.

        Args:
            image: the image.
            boxes: (n, 4) x1 y1 x2 y2 of found faces, in pixels.
        """
        return self.predict_levels(image, boxes)[-1]

    @torch.inference_mode()
    def predict_levels(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Predict the points (levels, n, 5, 2) float32 after each level, as `predict`."""
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        crops = np.array([crop_face(gray, box) for box in boxes], np.uint8).reshape(-1, 1, FACE_SIDE, FACE_SIDE)
        parts = [np.zeros((len(self.cascade.levels), 0, 5, 2), np.float32)]
        for start in range(0, len(crops), _FACES_PER_PASS):
            faces = torch.from_numpy(crops[start : start + _FACES_PER_PASS]).to(self._device).float()
            parts.append(torch.stack(list(self.cascade.run(faces, describe_points))).cpu().numpy())
        points = np.concatenate(parts, axis=1)
        return np.stack([from_square(level, boxes) for level in points]).astype(np.float32)


class CascadePointsPredictor:
    """A joint network whose faces have the points of a cascade, and embeddings sampled at them.

    Attributes:
        min_batch_size: number of images that a call needs to keep the device busy.
    """

    def __init__(self, predictor: TorchPredictor, landmarks: LandmarkPredictor) -> None:
        """Take a joint network and the cascade."""
        self._predictor, self._landmarks = predictor, landmarks
        self.min_batch_size = predictor.min_batch_size

    def predict(self, images: Sequence[np.ndarray], detect: DetectSettings, *, embed: bool = True) -> list[Detections]:
        """Detect the faces of images, RGB uint8 (H, W, 3), as the joint network; `embed` as there."""
        found = self._predictor.predict(images, detect, embed=False)
        return [self._move(image, faces, detect, embed) for image, faces in zip(images, found, strict=True)]

    def _move(self, image: np.ndarray, found: Detections, detect: DetectSettings, embed: bool) -> Detections:
        moved = replace(found, landmarks=self._landmarks.predict(image, found.boxes))
        if not embed:
            return moved
        scaled = resize_to_longest_side(image, detect.longest_side)
        ratio = np.array(scaled.shape[1::-1], np.float32) / np.array(image.shape[1::-1], np.float32)
        return replace(moved, embeddings=self._predictor.embed(scaled, moved.landmarks * ratio, detect))
