"""Teachers for tests that embed aligned crops."""

from collections.abc import Callable, Sequence

import numpy as np

from onelook.data.label_arrays import FaceEmbedder
from onelook.geometry.alignment import align_crop


def embed_aligned(embed_crops: Callable[[np.ndarray], np.ndarray]) -> FaceEmbedder:
    """Return a teacher that applies `embed_crops` to the aligned crops (n, 112, 112, 3) of faces."""

    def embed_faces(images: Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
        return embed_crops(np.stack([align_crop(*face) for face in zip(images, landmarks, strict=True)]))

    return embed_faces
