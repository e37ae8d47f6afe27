"""Map detections between an image and its resized, cropped or rotated copy."""

import numpy as np

from onelook.detections import Detections


def scale_detections(detections: Detections, from_shape: tuple[int, ...], to_shape: tuple[int, ...]) -> Detections:
    """Scale detections from pixels of one image to pixels of its resized copy.

    Args:
        detections: in pixels of an image of `from_shape`.
        from_shape: height, width and maybe more of the image.
        to_shape: of its copy.
    """
    if from_shape[:2] == to_shape[:2]:
        return detections
    ratio = np.array([to_shape[1] / from_shape[1], to_shape[0] / from_shape[0]], np.float32)
    # The depth of a mesh scales with the width; the two ratios differ by less than a pixel.
    meshes = None if detections.meshes is None else detections.meshes * ratio[[0, 1, 0]]
    boxes, landmarks = detections.boxes * np.tile(ratio, 2), detections.landmarks * ratio
    return Detections(boxes, detections.scores, landmarks, detections.embeddings, meshes)


def shift_detections(detections: Detections, left: float, top: float) -> Detections:
    """Move detections from pixels of a crop to pixels of the image.

    Args:
        detections: in pixels of the crop.
        left: x of the crop's first column in the image.
        top: y of the crop's first row in the image.
    """
    offset = np.array([left, top], np.float32)
    meshes = None if detections.meshes is None else detections.meshes + np.array([left, top, 0], np.float32)
    boxes, landmarks = detections.boxes + np.tile(offset, 2), detections.landmarks + offset
    return Detections(boxes, detections.scores, landmarks, detections.embeddings, meshes)


def rotate_detections(detections: Detections, quarter_turns: int, shape: tuple[int, ...]) -> Detections:
    """Rotate detections as `numpy.rot90` rotates the image.

    Args:
        detections: in pixels of an image of `shape`.
        quarter_turns: counterclockwise, any whole number.
        shape: height, width and maybe more of the image before it is rotated.

    Returns:
        Detections in pixels of `numpy.rot90(image, quarter_turns)`. The order of the landmarks stays that of the face.
    """
    height, width = shape[:2]
    corners = _rotate_points(detections.boxes.reshape(-1, 2, 2), quarter_turns, height, width)
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    landmarks = _rotate_points(detections.landmarks, quarter_turns, height, width)
    meshes = detections.meshes
    if meshes is not None:
        meshes = np.concatenate([_rotate_points(meshes[..., :2], quarter_turns, height, width), meshes[..., 2:]], -1)
    return Detections(boxes, detections.scores, landmarks, detections.embeddings, meshes)


def _rotate_points(points: np.ndarray, quarter_turns: int, height: int, width: int) -> np.ndarray:
    """Rotate points (..., 2) of an image of `height` x `width` counterclockwise."""
    for _ in range(quarter_turns % 4):
        points = np.stack([points[..., 1], width - points[..., 0]], -1)
        height, width = width, height
    return points
