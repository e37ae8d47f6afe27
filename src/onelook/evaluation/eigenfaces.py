"""Eigenfaces (Turk and Pentland 1991): the baseline of a learned embedding."""

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

    Whitening makes the baseline stronger: without it, rank-1 on the default scenes falls from about .76 to .51, because
    the first components are lighting and pose.
    """

    def __init__(self, crops: np.ndarray, components: int, seed: int) -> None:
        """Fit at most `components` components to crops (n, SIDE, SIDE) uint8."""
        # The full solver takes minutes. The seed makes the randomized one repeatable.
        self._pca = PCA(min(components, len(crops) - 1), whiten=True, svd_solver="randomized", random_state=seed)
        self._pca.fit(_normalize(crops))

    def embed(self, crops: np.ndarray) -> np.ndarray:
        """Embed crops (n, SIDE, SIDE) uint8 as L2-normalized rows (n, d) float32."""
        if len(crops) == 0:
            return np.zeros((0, self._pca.n_components_), np.float32)
        projected = self._pca.transform(_normalize(crops)).astype(np.float32)
        return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)


def _normalize(crops: np.ndarray) -> np.ndarray:
    """Flatten crops to rows (n, SIDE²) float32 of mean 0 and standard deviation 1."""
    rows = crops.reshape(len(crops), -1).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    return rows / np.maximum(rows.std(1, keepdims=True), 1.0)


def align_faces(
    manifest: Manifest, scenes: Sequence[Scene], scene_numbers: np.ndarray, landmarks: np.ndarray, side: int
) -> np.ndarray:
    """Crop faces of scenes, aligned by their landmarks.

    Args:
        manifest: of the scenes.
        scenes: the scenes.
        scene_numbers: (n,) int64, the scene of each face.
        landmarks: (n, 5, 2) in pixels of the scene, all finite.
        side: of a crop, in pixels.

    Returns:
        (n, side, side, 3) uint8 RGB.
    """
    crops = np.zeros((len(scene_numbers), side, side, 3), np.uint8)
    for number in np.unique(scene_numbers):
        image = read_image(manifest.path(scenes[number]))
        for row in np.flatnonzero(scene_numbers == number):
            crops[row] = align_crop(image, landmarks[row], side)
    return crops


def to_gray(crops: np.ndarray) -> np.ndarray:
    """Convert RGB crops (n, side, side, 3) uint8 to gray (n, side, side) uint8."""
    gray = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
    return np.array(gray, np.uint8).reshape(crops.shape[:3])
