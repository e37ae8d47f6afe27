"""Upright crops of faces, out of the scenes of a manifest."""

from collections.abc import Sequence

import cv2
import numpy as np

from onelook.data.photo import read_photo
from onelook.data.scene import Manifest, Scene
from onelook.geometry.alignment import align_crop


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
        photo = read_photo(manifest.path(scenes[scene]))
        for row in np.flatnonzero(places == scene):
            crops[row] = align_crop(photo, landmarks[row], side)
    return crops


def to_gray(crops: np.ndarray) -> np.ndarray:
    """Gray (n, side, side) uint8 of RGB crops (n, side, side, 3)."""
    gray = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
    return np.array(gray, np.uint8).reshape(crops.shape[:3])
