"""Detections: the faces that a predictor finds in one image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Detections:
    """The detected faces of one image, best score first.

    Attributes:
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the image; they may reach outside it.
        scores: (n,) float32 in 0..1.
        landmarks: (n, 5, 2) float32, left eye, right eye, nose, left and right mouth corner as seen in the image.
        embeddings: (n, d) float32, L2-normalized rows; d is 0 without embedding.
        meshes: (n, 468, 3) float32, x and y in pixels of the image, z in the same unit, away from the camera and 0 at
            the tip of the nose; None where the network has no mesh head.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    embeddings: np.ndarray
    meshes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> "Detections":
        """Select the detections with at least this score."""
        keep = self.scores >= score
        meshes = None if self.meshes is None else self.meshes[keep]
        return Detections(self.boxes[keep], self.scores[keep], self.landmarks[keep], self.embeddings[keep], meshes)
