"""Head crops with soft masks, and their rotation and scaling.

Coordinates are continuous: pixel i covers [i, i + 1), so its center is at i + 0.5.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from onelook.data.manifest import Face

MARGIN_FRACTION = 0.6
"""Margin of a crop on each side of the face's box, as a fraction of its longer side; includes hair, ears and neck."""


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """Head with its surroundings.

    Attributes:
        image: RGB (height, width, 3) uint8 crop of a photo.
        face: box and landmarks in pixels of the crop, and the identity.
        other_boxes: (n, 4) float32, boxes of other faces in the crop, which the mask excludes.
        is_gray: True for an image without color.
    """

    image: np.ndarray
    face: Face
    other_boxes: np.ndarray
    is_gray: bool


@dataclass(frozen=True, eq=False)
class HeadPatch:
    """Head rotated and scaled for compositing.

    Attributes:
        image: RGB (height, width, 3) uint8.
        alpha: (height, width) float32, opacity from 0 to 1.
        box: (4,) float32 in pixels of the patch.
        landmarks: (5, 2) float32 in pixels of the patch.
    """

    image: np.ndarray
    alpha: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray


def crop_head(image: np.ndarray, faces: tuple[Face, ...], max_size: float) -> FaceCrop:
    """Crop the head of the first face.

    Args:
        image: RGB (height, width, 3) uint8.
        faces: all faces of the image.
        max_size: a face of a larger size, in pixels, is scaled down to it.
    """
    face = faces[0]
    scale = min(1.0, max_size / face.size)
    if scale < 1:
        height, width = image.shape[:2]
        size = np.maximum(np.round(np.array([width, height]) * scale), 1)
        image = cv2.resize(image, size.astype(int).tolist(), interpolation=cv2.INTER_AREA)
        scales = size / (width, height)
    else:
        scales = np.ones(2)
    boxes = np.array([f.box for f in faces]).reshape(-1, 2, 2) * scales
    (x1, y1), (x2, y2) = boxes[0]
    margin = MARGIN_FRACTION * max(x2 - x1, y2 - y1)
    height, width = image.shape[:2]
    left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
    right, bottom = min(width, int(x2 + margin) + 1), min(height, int(y2 + margin) + 1)
    crop = np.ascontiguousarray(image[top:bottom, left:right])
    origin = np.array([left, top])
    moved = (boxes - origin).astype(np.float32).reshape(-1, 4)
    landmarks = (face.landmarks * scales - origin).astype(np.float32)
    inside = (moved[:, :2] < (right - left, bottom - top)).all(1) & (moved[:, 2:] > 0).all(1)
    inside[0] = False
    is_gray = bool((crop == crop[..., :1]).all())
    return FaceCrop(crop, Face(moved[0], landmarks, face.identity, face.source), moved[inside], is_gray)


def head_mask(crop: FaceCrop, rng: np.random.Generator) -> np.ndarray:
    """Return a soft mask of the head, of random width, shape and softness.

    The mask is the intersection of two superellipses without the other faces: one around the face, with its axis along
    the line from mouth to eyes, and one inside the image's border.

    Returns:
        (height, width) float32 from 0 to 1.
    """
    height, width = crop.image.shape[:2]
    x1, y1, x2, y2 = crop.face.box
    up = _up_direction(crop.face.landmarks)
    center = np.array([x1 + x2, y1 + y2]) / 2 + up * (y2 - y1) * rng.uniform(0.0, 0.12)
    axes = np.array([x2 - x1, y2 - y1]) * rng.uniform((0.6, 0.62), (0.9, 0.85))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    across = (x - center[0]) * -up[1] + (y - center[1]) * up[0]
    along = (x - center[0]) * up[0] + (y - center[1]) * up[1]
    power = rng.uniform(2, 3)
    head = ((np.abs(across) / axes[0]) ** power + (np.abs(along) / axes[1]) ** power) ** (1 / power)
    power = rng.uniform(2.5, 5)
    frame = (np.abs(2 * x / width - 1) ** power + np.abs(2 * y / height - 1) ** power) ** (1 / power)
    mask = np.minimum(soft_edge(head, rng.uniform(0.1, 0.3)), soft_edge(frame, rng.uniform(0.08, 0.2)))
    for box in crop.other_boxes:
        mask = mask * _exclude_box(box, crop.face.box, x, y)
    return mask.astype(np.float32)


def soft_edge(radius: np.ndarray, width: float) -> np.ndarray:
    """Return the opacity at a radius.

    1 below 1 - width, 0 above 1, smoothstep between.
    """
    t = np.clip((1 - radius) / width, 0, 1)
    return t * t * (3 - 2 * t)


def rotated_box_size(width: float, height: float, degrees: float) -> tuple[float, float]:
    """Return the size of the bounding box of a box's rotated inscribed ellipse.

    The shape of a face is closer to the ellipse than to the box. The bounding box of the rotated corners would be up to
    twice as large as an annotator's box. Exact at 0, 90 and 180 degrees.

    Returns:
        Width and height.
    """
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return float(np.hypot(width * cosine, height * sine)), float(np.hypot(width * sine, height * cosine))


def transform_head(crop: FaceCrop, mask: np.ndarray, size: float, degrees: float) -> HeadPatch:
    """Rotate and scale a head.

    The landmarks are transformed exactly. The new box has the transformed center and the shape of `rotated_box_size`.

    Args:
        crop: the head.
        mask: its mask, (height, width) float32.
        size: size of the new box in pixels, the square root of its area.
        degrees: counter-clockwise rotation.
    """
    x1, y1, x2, y2 = crop.face.box.astype(np.float64)
    rotated = np.array(rotated_box_size(x2 - x1, y2 - y1, degrees))
    scale = size / np.sqrt(rotated.prod())
    image, mask, shrunk = _shrink(crop.image, mask, scale)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.array([[cosine, sine], [-sine, cosine]])  # y grows downwards
    rows, columns = crop.image.shape[:2]
    corners = scale * np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]]) @ rotation.T
    origin = np.floor(corners.min(0))
    width, height = (np.ceil(corners.max(0)) - origin).astype(int).tolist()
    linear = rotation * (scale / shrunk)  # from the shrunk image, whose axes are rounded separately
    # OpenCV has pixel centers at integers: shift by half a pixel before and after.
    offset = linear @ (0.5, 0.5) - 0.5 - origin
    matrix = np.column_stack([linear, offset])
    center = scale * rotation @ ((x1 + x2) / 2, (y1 + y2) / 2) - origin
    return HeadPatch(
        cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
        np.concatenate([center - rotated * scale / 2, center + rotated * scale / 2]).astype(np.float32),
        (scale * crop.face.landmarks @ rotation.T - origin).astype(np.float32),
    )


def _up_direction(landmarks: np.ndarray) -> np.ndarray:
    """Return the unit vector from mouth to eyes, (0, -1) without landmarks."""
    up = landmarks[:2].mean(0) - landmarks[3:].mean(0)
    length = np.hypot(*up)
    return up / length if np.isfinite(length) and length > 0 else np.array([0.0, -1.0])


def _exclude_box(other: np.ndarray, own: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a mask that is 0 in the box `other`, but 1 in the box `own`."""

    def radius(box: np.ndarray, scale: float) -> np.ndarray:
        (left, top), (right, bottom) = box.reshape(2, 2)
        return np.hypot(
            (2 * x - left - right) / ((right - left) * scale), (2 * y - top - bottom) / ((bottom - top) * scale)
        )

    return np.maximum(1 - soft_edge(radius(other, 1.5), 0.2), soft_edge(radius(own, 1.0), 0.2))


def _shrink(image: np.ndarray, mask: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average an image and its mask down before a warp.

    A bilinear warp reads four pixels, so strong downscaling without averaging would skip pixels.

    Returns:
        Image, mask and the scale of each axis (2,).
    """
    if scale >= 0.9:
        return image, mask, np.ones(2)
    height, width = image.shape[:2]
    size = np.maximum(np.ceil(np.array([width, height]) * scale), 1)
    target = size.astype(int).tolist()
    shrunk = cv2.resize(image, target, interpolation=cv2.INTER_AREA)
    return shrunk, cv2.resize(mask, target, interpolation=cv2.INTER_AREA), size / (width, height)
