"""Eigenfaces (Turk and Pentland 1991), the floor any learned embedding has to clear."""

from collections.abc import Sequence

import cv2
import numpy as np
from sklearn.decomposition import PCA

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest, Scene
from onelook.geometry.alignment import align_crop

SIDE = 64


class Eigenfaces:
    """Whitened principal components of aligned gray crops, compared by cosine ("Mahalanobis cosine").

    Whitening makes the floor a fair one: without it rank-1 on the default scenes falls from about .76 to .51, because
    the first components are light and pose.
    """

    def __init__(self, crops: np.ndarray, components: int, seed: int) -> None:
        """Learn from crops (n, SIDE, SIDE) uint8; at most `components` components, fewer than there are crops."""
        # The randomized solver takes seconds where the full one takes minutes; its seed makes it repeatable.
        self._pca = PCA(min(components, len(crops) - 1), whiten=True, svd_solver="randomized", random_state=seed)
        self._pca.fit(_normalize(crops))

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """L2-normalized rows (n, d) float32 of crops (n, SIDE, SIDE) uint8."""
        if len(crops) == 0:
            return np.zeros((0, self._pca.n_components_), np.float32)
        projected = self._pca.transform(_normalize(crops)).astype(np.float32)
        return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)


def _normalize(crops: np.ndarray) -> np.ndarray:
    """Rows (n, SIDE²) float32 of mean 0 and deviation 1 each: the light of a photo is not who is in it."""
    rows = crops.reshape(len(crops), -1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.maximum(rows.std(1, keepdims=True), 1.0)


def cut_crops(
    manifest: Manifest, scenes: Sequence[Scene], places: np.ndarray, landmarks: np.ndarray, side: int
) -> np.ndarray:
    """Upright crops of faces.

    Args:
        manifest: of the scenes.
        scenes: the photos.
        places: (n,) int64, the scene of each face.
        landmarks: (n, 5, 2) in pixels of the scene, none absent.
        side: of a crop, in pixels.

    Returns:
        (n, side, side, 3) uint8 RGB.
    """
    crops = np.zeros((len(places), side, side, 3), np.uint8)
    for scene in np.unique(places):
        photo = read_image(manifest.path(scenes[scene]))
        for row in np.flatnonzero(places == scene):
            crops[row] = align_crop(photo, landmarks[row], side)
    return crops


def to_gray(crops: np.ndarray) -> np.ndarray:
    """Gray (n, side, side) uint8 of RGB crops (n, side, side, 3)."""
    gray = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
    return np.array(gray, np.uint8).reshape(crops.shape[:3])
