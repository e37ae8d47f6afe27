"""Turning of heads in 3D: a face in large pose, made of one image and its mesh (Zhu et al., CVPR 2016).

The mesh and the surface around it turn as one, drawn with a depth buffer. The image's border does not move, so the
background stretches behind the head. The side of the head, of which the image shows an edge, is stretched, too.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch

from onelook.data.synthesis.head_surface import (
    background_anchors,
    background_depth,
    head_anchors,
    surface_triangles,
)
from onelook.geometry.head_pose import head_axes, turn_rotation
from onelook.geometry.mesh import FACE_CONTOUR, NUM_VERTICES, mesh_to_landmarks
from onelook.geometry.rendering import render

# The map of source points is drawn at half the resolution, which takes a quarter of the time.
_STEP = 2
_MAX_STRETCH = 2  # difference of neighboring source points, in pixels per pixel, above which one hides the other


class TurnedFace(NamedTuple):
    """Image of a turned head.

    Attributes:
        image: RGB (H, W, 3) uint8.
        vertices: (468, 3) float32, the turned mesh in pixels of the image.
    """

    image: np.ndarray
    vertices: np.ndarray

    @property
    def landmarks(self) -> np.ndarray:
        """Return the five landmarks (5, 2) float32 of the turned mesh, including hidden ones."""
        return mesh_to_landmarks(self.vertices)

    @property
    def box(self) -> np.ndarray:
        """Return the box (4,) float32 of the turned mesh, x1 y1 x2 y2."""
        return np.concatenate([self.vertices[:, :2].min(0), self.vertices[:, :2].max(0)])


def turn_face(image: np.ndarray, vertices: np.ndarray, yaw: float, pitch: float = 0.0) -> TurnedFace:
    """Turn the head in an image about the center of its mesh.

    The hidden side of a face in half profile has no texture, so such a face should turn further to the same side.

    Args:
        image: RGB (H, W, 3) uint8.
        vertices: (468, 3) mesh in pixels of the image.
        yaw: change in degrees; positive towards the image's right.
        pitch: change in degrees; positive upwards.
    """
    height, width = image.shape[:2]
    axes, center = head_axes(vertices), vertices.mean(0, dtype=np.float64)
    head = (vertices - center) @ axes
    surface = np.concatenate([head, head_anchors(head)]) @ axes.T
    turned = surface @ turn_rotation(axes, yaw, pitch).T + center
    background = background_anchors(surface[-len(FACE_CONTOUR) :, :2] + center[:2], width, height)
    depth = np.full((len(background), 1), background_depth(head) + center[2])
    sources = np.concatenate([surface[:, :2] + center[:2], background])
    targets = np.concatenate([turned, np.concatenate([background, depth], 1)])
    return TurnedFace(_warp(image, sources, targets), turned[:NUM_VERTICES].astype(np.float32))


def _warp(image: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Draw an image on a surface whose vertices move from sources (v, 2) to targets (v, 3)."""
    height, width = image.shape[:2]
    coarse = _inverse_map(sources, targets, -(-height // _STEP), -(-width // _STEP))
    size = (coarse.shape[1] * _STEP, coarse.shape[0] * _STEP)
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    # At the outline of the head, where the source point jumps, colors are interpolated instead of source points.
    jumps = np.abs(fine - cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST)).max(-1) > _MAX_STRETCH * _STEP
    smooth = cv2.resize(_sample(image, coarse), size, interpolation=cv2.INTER_LINEAR)
    return np.where(jumps[..., None], smooth, _sample(image, fine))[:height, :width]


def _inverse_map(sources: np.ndarray, targets: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Compute the source points (rows, columns, 2) float32 of the centers of blocks of `_STEP` x `_STEP` pixels."""
    rendering = render(
        torch.from_numpy((targets[None] / _STEP).astype(np.float32)),
        torch.from_numpy(np.pad(sources, ((0, 0), (0, 1)))[None].astype(np.float32)),
        torch.from_numpy(surface_triangles()),
        max(rows, columns),
    )
    y, x = (np.mgrid[:rows, :columns].astype(np.float32) + 0.5) * _STEP
    covered = rendering.mask[0, :rows, :columns].numpy()[..., None]
    # The surface cuts the image's corners off: they do not move.
    return np.where(covered, rendering.images[0, :rows, :columns, :2].numpy(), np.stack([x, y], -1))


def _sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    # OpenCV has pixel centers at integer coordinates.
    return cv2.remap(image, points - np.float32(0.5), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
