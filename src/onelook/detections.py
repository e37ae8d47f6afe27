"""Detections: the faces that a predictor finds in one image."""

from collections.abc import Sequence
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
        return self.take(self.scores >= score)

    def take(self, rows: np.ndarray) -> "Detections":
        """Select detections by indices (k,) or by a mask (n,)."""
        meshes = None if self.meshes is None else self.meshes[rows]
        return Detections(self.boxes[rows], self.scores[rows], self.landmarks[rows], self.embeddings[rows], meshes)


def concatenate(parts: Sequence[Detections]) -> Detections:
    """Concatenate the detections of at least one part, all by the same model."""
    boxes, scores, landmarks, embeddings = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("boxes", "scores", "landmarks", "embeddings")
    )
    meshes = [part.meshes for part in parts if part.meshes is not None]
    return Detections(boxes, scores, landmarks, embeddings, np.concatenate(meshes) if meshes else None)
