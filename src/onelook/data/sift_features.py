"""SIFT descriptors (Lowe 2004) of faces at given points, by OpenCV on the CPU."""

import cv2
import numpy as np
import torch
from torch import Tensor

from onelook.geometry.face_squares import FACE_EXTENT

_PATCH = 32.0
"""Side of the patch that a descriptor describes, in pixels of the resized face."""
# OpenCV's descriptor has 4 x 4 cells of three scales each, and the scale of a keypoint is half its size.
_KEYPOINT_SIZE = _PATCH / 12 * 2
_DESCRIPTOR_MAX = 255.0


def describe_points(faces: Tensor, points: Tensor, side: int) -> Tensor:
    """Compute the SIFT descriptors of faces at points, upright, of patches of 32 pixels.

    Args:
        faces: (n, 1, pixels, pixels) gray values in 0..255, of any device.
        points: (n, 5, 2) in units of the box's square (`geometry/face_squares.py`).
        side: of the box's square in pixels; the faces are resized to it first.

    Returns:
        (n, 640) float32 in 0..1 on the device of the faces.
    """
    images = faces[:, 0].round().clamp(0, 255).byte().cpu().numpy()
    places = points.detach().cpu().numpy()
    rows = [describe_face(image, place, side) for image, place in zip(images, places, strict=True)]
    stacked = np.stack(rows) if rows else np.zeros((0, points.shape[1] * 128), np.float32)
    return torch.from_numpy(stacked).to(faces.device)


def describe_face(image: np.ndarray, points: np.ndarray, side: int) -> np.ndarray:
    """Compute the descriptors (640,) of one face image (pixels, pixels) uint8 at points (5, 2)."""
    pixels = round(FACE_EXTENT * side)
    resized = cv2.resize(image, (pixels, pixels), interpolation=cv2.INTER_AREA)
    # OpenCV's pixel centers are whole numbers. A point outside the image is described at its border.
    places = (((points - 0.5) / FACE_EXTENT + 0.5) * pixels - 0.5).clip(0, pixels - 1)
    keypoints = [cv2.KeyPoint(float(x), float(y), _KEYPOINT_SIZE, 0.0) for x, y in places]
    _, descriptors = cv2.SIFT.create().compute(resized, keypoints)
    values: np.ndarray = descriptors.astype(np.float32).ravel() / _DESCRIPTOR_MAX
    return values.clip(0, 1)
